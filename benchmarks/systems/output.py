"""Results on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_ssan.network.writing import new_file


def write_json(path: str | Path, result: dict[str, Any]) -> None:
    """Write one JSON object, whole or not at all; an existing file is replaced.

    Raises
    ------
    BadInput
        If it cannot be written, or its name does not end in .json.
    """
    with new_file(path, ".json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

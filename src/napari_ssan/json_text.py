"""The one way to turn data into JSON text. JSON has no NaN and no infinity: they become null.

What is written, and under which keys, is up to the callers. Easy to get wrong: Python's own
``json.dumps`` writes ``NaN``, which it reads again, and which no other program reads.
"""

from __future__ import annotations

import json
import math
from typing import Any


def dump_json(value: Any, **options: Any) -> str:
    """Data as JSON text; numbers that are not finite are written as null.

    Parameters
    ----------
    value : object
        What ``json.dumps`` takes.
    **options : object
        Those of ``json.dumps``.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **options)


def dump_as_read(value: Any, **options: Any) -> str:
    """What others have written, and Python has read, as JSON text again: with NaN, if it has any.

    What is not ours stays as it was.
    """
    return json.dumps(value, **options)


def finite(value: Any) -> Any:
    """Plain data with None in place of each number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

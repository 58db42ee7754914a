"""Run the commands of the documentation, as they stand there, on a small generated stack.

Every ``napari-ssan`` command in a shell block of the pages below is run, page by page, each in a
folder of its own. A block after the comment ``<!-- not run: WHY -->`` is passed over.
``python scripts/run_docs.py how-to/marks.md`` runs one page.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_ssan.stack.phantom import phantom

DOCS = Path(__file__).parents[1] / "docs"
#: In this order: what is trained on one page is shared on another.
PAGES = (
    "start/install.md",
    "start/first-slice.md",
    "how-to/command-line.md",
    "how-to/marks.md",
    "how-to/inspect.md",
    "how-to/evaluate.md",
    "how-to/expected-error.md",
    "how-to/devices.md",
    "how-to/fine-tune.md",
    "how-to/train.md",
    "how-to/share-model.md",
)
#: What later pages take over from earlier ones.
KEPT = ("mine.safetensors",)
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\s*)?^( *)```(\w+)\n(.*?)^\2```", re.M | re.S)


def main() -> int:
    """Run the pages named, or all; the exit code is 1 if a command failed."""
    pages = sys.argv[1:] or PAGES
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        inputs, kept = Path(scratch, "inputs"), Path(scratch, "kept")
        kept.mkdir()
        prepare(inputs)
        user = {"XDG_DATA_HOME": f"{scratch}/data", "XDG_CACHE_HOME": f"{scratch}/cache"}
        for page in pages:
            folder = Path(scratch, page.replace("/", "-"))
            shutil.copytree(inputs, folder)
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            for command in commands(page):
                failed += not run(page, command, folder, user)
            for name in KEPT:
                if (folder / name).is_file():
                    shutil.copy(folder / name, kept)
    print(f"{failed} failed" if failed else "all commands ran")
    return int(failed > 0)


def prepare(folder: Path) -> None:
    """Write the files that the pages speak of."""
    folder.mkdir()
    stack = phantom().broken[:, :160, :160]
    mask = np.zeros(stack.shape, np.uint8)
    mask[16, 40:90, 40:90] = 255
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    tifffile.imwrite(folder / "mask.tif", mask, photometric="minisblack")
    tifffile.imwrite(folder / "mask2d.tif", mask[16], photometric="minisblack")
    marks = (DOCS / "how-to" / "marks.md").read_text(encoding="utf-8")
    tables = [text for _, _, kind, text in BLOCK.findall(marks) if kind == "csv"]
    (json,) = (text for _, _, kind, text in BLOCK.findall(marks) if kind == "json")
    for name, text in (("slices.csv", tables[0]), ("shapes.csv", tables[1]), ("marks.json", json)):
        (folder / name).write_text(text, encoding="utf-8")


def commands(page: str) -> list[str]:
    """Give the commands of a page that are to be run."""
    found = []
    for passed_over, _, kind, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if kind == "sh" and not passed_over:
            found += [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in found if line.startswith("napari-ssan ")]


def run(page: str, command: str, folder: Path, user: dict[str, str]) -> bool:
    """Run a command in a folder; what it prints is shown if it fails."""
    begin = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | user,
        check=False,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - begin
    said = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(f"{page}: {command}: {said}, {seconds:.0f} s", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())

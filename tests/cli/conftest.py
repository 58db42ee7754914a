"""A command line that runs within the test process, and stacks to run it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_ssan.cli import main


@dataclass
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The refusal: exit code 2, one line on standard error, no traceback."""
        assert self.code == 2, self.err
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("napari-ssan: ")
        return lines[0]


Run = Callable[..., Outcome]
#: Of a configuration file: crops that are quick to train on.
TINY = "crop = 32\nbatch = 1\n"


@pytest.fixture
def run(monkeypatch, capsys) -> Run:
    """``run("repair", input, output, "--defects", "4")``."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["napari-ssan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Outcome(int(end.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def volume() -> np.ndarray:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((7, 48, 64)), (1.5, 3, 3))
    return (128 + 40 * structure / structure.std()).clip(1, 254).astype(np.uint8)


@pytest.fixture
def stack(tmp_path: Path, volume: np.ndarray) -> Path:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


@pytest.fixture
def config(tmp_path) -> Callable[..., tuple[str, Path]]:
    """``config("noise = 0.5")``: the option that names a file with this, and tiny crops."""

    def write(text: str = "", tiny: str = TINY) -> tuple[str, Path]:
        (tmp_path / "run.toml").write_text(tiny + text, encoding="utf-8")
        return "--config", tmp_path / "run.toml"

    return write

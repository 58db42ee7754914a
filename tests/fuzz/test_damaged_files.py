"""A damaged file is worked with or refused in one sentence, and nothing is left over.

``python benchmarks/fuzz.py --case KIND:SEED`` shows what a failing example is.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("fifos, devices and links are made as Linux has them", allow_module_level=True)
pytest.importorskip("h5py")

from fuzzing.cases import attempt, make_case
from fuzzing.mutations import digest
from fuzzing.templates import TEMPLATES, write_all

#: Seconds that a small file may take.
LONGEST = 20.0
numbers = itertools.count()


class Hang(BaseException):
    """No exception that the program might take for its own."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang(f"longer than {LONGEST} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("templates"))


@pytest.mark.parametrize("kind", TEMPLATES)
@settings(settings.get_profile("fuzz"))
@given(seed=st.integers(0, 10**6))
def test_damaged_files(kind, templates, tmp_path, user_folder, monkeypatch, seed):
    folder = tmp_path / str(next(numbers))
    folder.mkdir()
    case = make_case(kind, Random(f"{kind}:{seed}"), templates, folder)
    if kind == "models":
        monkeypatch.setattr("napari_ssan.network.model_file.own_folder", lambda: case.path)
        monkeypatch.setattr("napari_ssan.network.model_library.own_folder", lambda: case.path)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with watched():
        outcome = attempt(case)
    assert outcome.verdict in ("done", "refused"), f"{kind}:{seed} {outcome}"
    assert not list((tmp_path / "scratch").iterdir())
    assert not list(user_folder.rglob("*.part"))


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_seed_says_all_of_a_case(kind, templates, tmp_path):
    cases = []
    for name in "ab":
        (tmp_path / name).mkdir()
        cases.append(make_case(kind, Random(f"{kind}:1"), templates, tmp_path / name))
    first, second = cases
    assert first.damage == second.damage
    # safetensors writes metadata in any order
    if "model" not in kind and kind not in ("checkpoint", "run"):
        assert digest(first.path) == digest(second.path)

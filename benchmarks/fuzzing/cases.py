"""A case: a valid file, damaged, and what the program is asked to do with it."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from fuzzing import mutations as m
from fuzzing.learning import LEARNING, arguments, check
from fuzzing.templates import MARKS, MASKS, SECTION, SHAPE, STACKS, pixels

#: How a stack of each kind is damaged, by the beginning of the kind's name.
HOW: dict[str, m.Mutation] = {
    **dict.fromkeys(("tiff", "bigtiff", "imagej", "ome-tiff", "mask-tif"), m.any_tiff),
    **dict.fromkeys(("zarr", "ome-zarr", "mask-zarr"), m.any_zarr),
    **dict.fromkeys(("hdf5", "mask-hdf"), m.any_hdf5),
    "folder": m.any_folder,
    "mask-png": m.any_png,
    "marks-json": lambda path, random: m.draw(
        random, m.edit_json, m.edit_json, m.edit_json, m.truncate, m.bomb_marks
    )(path, random),
    "marks-csv": lambda path, random: m.draw(
        random, m.reword, m.reword, m.splice, m.flip, m.bomb_table
    )(path, random),
    "marks-shapes": lambda path, random: m.draw(random, m.reword, m.splice, m.flip)(path, random),
    "model": m.any_model,
    "model-zip": lambda path, random: m.draw(random, m.truncate, m.flip, m.splice)(path, random),
    "models": m.any_model,
    "sidecar": m.any_sidecar,
    "train": m.any_tiff,
    "fine-tune": m.any_zarr,
    "evaluate": m.any_hdf5,
    "triplets": m.any_zarr,
    "config": m.any_config,
    "vgg": m.any_weights,
    "checkpoint": m.any_checkpoint,
    "run": m.any_run,
}
OUTPUTS = ("out.tif", "out.ome.tif", "out.ome.zarr")
#: Of a hundred files so many are no file any more, but a fifo, a link or the like.
ODD = 4
#: Beginnings of lines that a whole file has, too.
PROGRESS = ("repaired slice", "repairing ", "writing ")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass
class Case:
    """A damaged file and what the program is asked to do with it.

    Attributes
    ----------
    kind : str
    folder : Path
        Which holds all of it, and where the program may write.
    path : Path
        The damaged file or folder.
    damage : str
        What was done to it.
    arguments : list of str
        The command line; a sidecar has none, as the dock alone reads it.
    output : Path or None
    """

    kind: str
    folder: Path
    path: Path
    damage: str
    arguments: list[str]
    output: Path | None = None


@dataclass
class Outcome:
    """How a case ended.

    Attributes
    ----------
    verdict : str
        "done", "refused", or what is wrong: "traceback", "silent", "leftovers", "changed",
        "unreadable", "wording"; the benchmark adds "hang", "memory" and "crash".
    said : str
        The sentence, or the error.
    where : str
        Place in the code that tells findings apart.
    trace : str
        The traceback, if there was one.
    """

    verdict: str
    said: str = ""
    where: str = ""
    trace: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def make_case(kind: str, random: Random, templates: dict[str, Path], folder: Path) -> Case:
    """Damage a copy of a valid file.

    Parameters
    ----------
    kind : str
    random : Random
        What decides everything.
    templates : dict of str to Path
        The valid files; see ``write_all``.
    folder : Path
        An empty folder for the case.
    """
    original = templates[kind]
    shutil.copytree(original.parent, folder, dirs_exist_ok=True, symlinks=True)
    path = folder / original.name
    odd = kind != "models" and random.randrange(100) < ODD
    damage = (m.odd_file if odd else HOW.get(kind) or HOW[_family(kind)])(path, random)
    if kind in LEARNING:
        command, made = arguments(kind, path, random)
        return Case(kind, folder, path, damage, command, made)
    output = folder / random.choice(OUTPUTS)
    stack = str(templates["tiff"])
    common = ["--method", "average"]
    if kind in STACKS:
        command = ["repair", str(path), str(output), "--defects", str(SECTION), *common]
    elif kind in MASKS:
        command = ["repair", stack, str(output), "--region", str(path), *common]
        command += [] if kind in ("mask-zarr", "mask-hdf") else ["--defects", str(SECTION)]
    elif kind in MARKS:
        command = ["repair", stack, str(output), "--defects-file", str(path), *common]
    elif kind == "model":
        show = random.random() < 0.5
        used = ["repair", stack, str(output), "--defects", str(SECTION), "--model", str(path)]
        command = ["models", "show", str(path)] if show else used
    elif kind == "model-zip":
        command = ["models", "import", str(path), "--name", "imported"]
    elif kind == "models":
        command = ["models", "list"]
    else:
        command = []
    made = output if command[:1] == ["repair"] else None
    return Case(kind, folder, path, damage, command, made)


def _family(kind: str) -> str:
    return max((name for name in HOW if kind.startswith(name)), key=len)


def attempt(case: Case) -> Outcome:
    """Have the program work on a case in this process, and judge how it ends."""
    before = {path: _kind(path) for path in case.folder.rglob("*")}
    digest = m.digest(case.path) if _kind(case.path) != "odd" else ""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()) as told:
            code = _load_sidecar(case) if not case.arguments else _command(case)
    except MemoryError as error:
        return Outcome("memory", f"MemoryError: {error}", _where(error))
    except Exception as error:  # noqa: BLE001 - any that comes here is a finding
        first = f"{type(error).__name__}: {''.join(str(error).splitlines()[:1])}"
        return Outcome("traceback", first, _where(error), traceback.format_exc())
    lines = said.getvalue().strip().splitlines()
    sentence = "\n".join(line for line in lines if not line.startswith(PROGRESS))
    if code and not case.arguments and sentence:
        return Outcome("refused", sentence)
    left = [path for path in case.folder.rglob("*") if path not in before]
    made = case.output if code == 0 else None
    left = [path for path in left if made is None or made not in (path, *path.parents)]
    if made and case.kind in LEARNING:
        left = [path for path in left if path != made.with_suffix(".training.csv")]
    if left:
        return Outcome("leftovers", ", ".join(path.name for path in left[:3]), case.kind)
    used = code == 0 and case.kind in ("checkpoint", "run")  # these are gone when all is done
    if digest and case.arguments and not used and m.digest(case.path) != digest:
        return Outcome("changed", case.path.name, case.kind)
    if bad := CONTROL.search(sentence + told.getvalue()):
        return Outcome("wording", f"control character {bad[0]!r} in: {sentence!r}", case.kind)
    if code:
        sentence = sentence.rpartition("\n")[2]  # after notes
        good = code == 2 and sentence.startswith("napari-ssan: ")
        if not good or len(sentence) > 600:
            return Outcome("wording", f"exit code {code}: {sentence[:300]!r}", case.kind)
        return Outcome("refused", sentence)
    if case.output is not None:
        return _judge(case, sentence)
    return Outcome("done", sentence)


def _command(case: Case) -> int:
    from napari_ssan.cli import main

    argv = ["napari-ssan", *case.arguments]
    with patch.object(sys, "argv", argv), contextlib.chdir(case.folder):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def _load_sidecar(case: Case) -> int:
    """Have a sidecar be read as the dock does it, pixels and all."""
    from napari_ssan.engine.repaired import RepairedStack
    from napari_ssan.errors import BadInput
    from napari_ssan.session.sidecar import Sidecar
    from napari_ssan.stack.sections import SliceStack

    stack = SliceStack(pixels())
    try:
        saved = Sidecar(case.path).load(stack)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    if saved and saved.damage:
        print(saved.damage, file=sys.stderr)
        return 2
    repaired = RepairedStack(stack)
    for piece in saved.patches if saved else ():
        repaired.add(piece)
    np.asarray(repaired[:])
    return 0


def _judge(case: Case, sentence: str) -> Outcome:
    """See what was made of a damaged file: it must be readable, and lack nothing silently."""
    from napari_ssan.files import open_stack

    assert case.output is not None
    if case.kind in LEARNING:
        try:
            check(case.output)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody can use it
            return Outcome("unreadable", f"{type(error).__name__}: {error}", _where(error))
        return Outcome("done", sentence)
    try:
        made = np.asarray(open_stack(case.output).data)
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody can use it
        return Outcome("unreadable", f"{type(error).__name__}: {error}", _where(error))
    if case.kind in STACKS and case.damage.startswith(m.LOST) and not sentence:
        kept = [z for z in range(SHAPE[0]) if z != SECTION]
        whole = made.shape == SHAPE and (
            "jpeg" in case.kind or bool((made[kept] == pixels()[kept]).all())
        )
        if not whole:
            what = re.sub(r"\d+([./]\w+)*", "N", case.damage.removeprefix(m.LOST))
            return Outcome("silent", f"{case.damage}; the output is {made.shape}", what)
    return Outcome("done", sentence)


def _kind(path: Path) -> str:
    return "file" if path.is_file() else "folder" if path.is_dir() else "odd"


def _where(error: BaseException) -> str:
    """The last place of ours, and the last of all, on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "napari_ssan" in f.filename]
    names = [f"{Path(f.filename).name}:{f.name}" for f in (ours[-1:] + frames[-1:])]
    return f"{type(error).__name__} {' > '.join(dict.fromkeys(names))}"

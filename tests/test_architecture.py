"""Who may know whom, and that every module has tests.

The core knows no Qt, and nobody but the widgets knows the widgets.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ssan

PACKAGE = Path(napari_ssan.__file__).parent
SCREEN = {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PySide6", "vispy"}
#: What a room may import of the others, from the foundation up: arrows point down only.
KNOWS: dict[str, set[str]] = {}


def room(name: str, *knows: str) -> None:
    """Add a room on top of those that are there."""
    assert set(knows) <= set(KNOWS), f"{name} would know a room above it"
    KNOWS[name] = set(knows)


room("errors")
room("events")
room("heap")
room("json_text")
room("html_page")
room("part")
room("swap", "part", "json_text")
room("atomic", "part", "swap")
room("version")
room("paths", "errors")
room("network", "atomic", "errors", "json_text")
room("losses", "atomic", "errors", "network")
room("stack", "errors", "json_text", "paths")
room("inspection", "errors", "events", "heap", "html_page", "json_text", "stack")
room("metrics", "stack")
room("segmenter", "errors", "json_text", "network", "stack")
room("engine", "atomic", "errors", "paths", "events", "version", "network", "stack")
room("report", "html_page", "version", "stack", "engine")
room("files", "atomic", "swap", "errors", "json_text", "paths", "stack", "engine")
room("volumes", *KNOWS["files"], "part", "events", "heap", "files")
room(
    "session",
    *("atomic", "swap", "errors", "json_text", "paths", "events", "stack", "inspection", "engine"),
)
room(
    "evaluation",
    *("errors", "events", "html_page"),
    *("network", "losses", "stack", "inspection", "metrics", "segmenter", "engine"),
)
room(
    "training",
    *("atomic", "errors", "events", "json_text", "paths", "version"),
    *("network", "losses", "stack", "inspection", "metrics", "segmenter", "engine"),
)
room("finetune", *KNOWS["training"], "swap", "evaluation", "training")
room("export", "errors", "network", "stack", "engine")
room("plugin", "errors", "stack", "engine", "files")
room("workers", "errors")
room("widgets", *(KNOWS.keys() - {"plugin"}))
room("cli", *(KNOWS.keys() - {"plugin", "widgets", "workers", "session"}))
room("__init__", "errors", "version", "network", "stack", "engine")


#: A module with more lines has tests of its own.
SHORT = 60


def imports(path: Path) -> set[str]:
    """Modules that a file names, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_widgets_know_a_screen(path):
    if room_of(path) in ("widgets", "plugin", "workers"):
        return
    assert not {name.split(".")[0] for name in imports(path)} & SCREEN


def test_every_room_says_whom_it_may_know():
    assert {room_of(path) for path in modules()} == set(KNOWS)


@pytest.mark.parametrize("name", KNOWS)
def test_rooms_know_whom_they_may(name):
    known = {
        named.split(".")[1]
        for path in modules()
        if room_of(path) == name
        for named in imports(path)
        if named.startswith("napari_ssan.")
    }
    assert known <= KNOWS[name] | {name}
    assert not any("napari_ssan" in imports(path) for path in modules() if room_of(path) == name)


def test_no_circle_of_modules():
    """Imports within functions and for types count, too: a circle is a circle."""
    arrows = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): imports(path)
        for path in modules()
    }
    arrows = {name: {to for to in named if to in arrows} for name, named in arrows.items()}
    while leaves := {name for name, named in arrows.items() if not named & arrows.keys()}:
        arrows = {name: named for name, named in arrows.items() if name not in leaves}
    assert not arrows


def test_every_module_has_a_test_file_of_its_name_or_one_that_says_it_covers_it():
    """``Covers: napari_ssan.room.module, ...`` in the docstring of a test file says it."""
    tests = Path(__file__).parent
    names = {
        path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        )
        for path in modules()
    }
    covered: dict[str, list[str]] = {}
    for file in tests.rglob("test_*.py"):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        for list_ in re.findall(r"^Covers:((?:\s+napari_ssan[\w.]*,?)+)", text, re.MULTILINE):
            for name in re.findall(r"napari_ssan[\w.]*\b", list_):
                covered.setdefault(name, []).append(str(file.relative_to(tests)))
    offenders = [
        f"{where[0]} says that it covers {name}, which is not there"
        for name, where in covered.items()
        if name not in names.values()
    ]
    for path, name in names.items():
        own = tests.joinpath(*name.split(".")[1:-1], f"test_{name.split('.')[-1]}.py")
        long = len(path.read_text(encoding="utf-8").splitlines()) > SHORT
        if long and not own.exists() and name not in covered:
            offenders.append(
                f"{name} has neither {own.relative_to(tests)} nor a line that covers it"
            )
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_ssan",
        "import napari_ssan; napari_ssan.Marks",
        "import napari_ssan.files",
        "from napari_ssan.network.model_library import list_models; list_models()",
        "import napari_ssan.engine.plan",
        "import napari_ssan.cli",
    ],
)
def test_what_takes_seconds_to_import_comes_late(statement):
    late = {"torch", "napari", "qtpy", "scipy.stats"}
    check = f"import sys; sys.exit(bool({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{statement}; {check}"], check=False)
    assert done.returncode == 0


def test_the_public_names_are_there():
    for name in napari_ssan.__all__:
        assert getattr(napari_ssan, name).__doc__
    with pytest.raises(AttributeError):
        napari_ssan.frobnicate  # noqa: B018

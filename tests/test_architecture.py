"""Who may know whom: the core knows no Qt, and nobody but the widgets knows the widgets."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ssan

PACKAGE = Path(napari_ssan.__file__).parent
SCREEN = {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PySide6", "vispy"}
#: What a room of the house may import of the others.
KNOWS = {
    "errors": set(),
    "network": {"errors"},
    "losses": {"errors", "network"},
    "stack": {"errors"},
    "engine": {"errors", "stack", "network"},
    "export": {"errors", "stack", "network", "engine"},
    "files": {"errors", "stack", "engine"},
    "evaluation": {"errors", "stack", "engine", "network", "losses"},
    "training": {"errors", "stack", "network", "losses", "engine", "evaluation"},
    "tuning": {"errors", "stack", "network", "losses", "engine", "evaluation", "training"},
    "cli": {
        "errors",
        "stack",
        "network",
        "losses",
        "engine",
        "export",
        "files",
        "training",
        "tuning",
        "evaluation",
    },
}


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


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_widgets_know_a_screen(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room in ("widgets", "workers.py"):
        return
    named = imports(path)
    assert not {name.split(".")[0] for name in named} & SCREEN
    assert not {name for name in named if name.startswith("napari_ssan.widgets")}


@pytest.mark.parametrize("room", KNOWS)
def test_rooms_know_whom_they_may(room):
    files = [p for p in modules() if p.relative_to(PACKAGE).parts[0] in (room, f"{room}.py")]
    assert files
    known = {
        name.split(".")[1]
        for path in files
        for name in imports(path)
        if name.startswith("napari_ssan.")
    }
    assert known <= KNOWS[room] | {room}


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_ssan",
        "import napari_ssan; napari_ssan.Defects",
        "import napari_ssan.files",
        "from napari_ssan.network.model_library import list_models; list_models()",
        "import napari_ssan.engine.plan",
    ],
)
def test_torch_and_qt_come_late(statement):
    check = "import sys; sys.exit(bool({'torch', 'napari', 'qtpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{statement}; {check}"], check=False)
    assert done.returncode == 0


def test_the_public_names_are_there():
    for name in napari_ssan.__all__:
        assert getattr(napari_ssan, name).__doc__
    with pytest.raises(AttributeError):
        napari_ssan.frobnicate  # noqa: B018

"""A day at the dock: twenty planted defects from opening a stack to its export, by mouse and keys.

Real Qt events go to a real viewer. Actions, the time a user waits, and the event loop's longest
gap are counted. ``python benchmarks/day.py --json --pictures FOLDER`` keeps screenshots in both
themes and two sizes; without a display it starts itself again under xvfb-run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from event_loop import Gaps, need_screen, wait

from napari_ssan.inspection.plant import plant_slice
from napari_ssan.stack.phantom import phantom

#: How sections are damaged, in turn, and how many.
KINDS = ("blank", "noise", "blur", "brightness", "discontinuity")
COUNT = 20
SIZES, THEMES = ((1600, 1000), (1280, 720)), ("dark", "light")


def defects(sections: int) -> dict[int, str]:
    """Which sections of a stack are damaged, and how."""
    apart = (sections - 4) // COUNT
    return {3 + apart * number: KINDS[number % len(KINDS)] for number in range(COUNT)}


def broken_stack(sections: int, side: int) -> npt.NDArray[np.uint8]:
    """Generate a stack of (sections, side, side) with twenty broken sections."""
    clean = phantom((sections, side, side)).clean
    broken, random = clean.copy(), np.random.default_rng(0)
    for z, kind in defects(sections).items():
        other = clean[(z + sections // 2) % sections].astype(np.float32)
        damaged = plant_slice(kind, clean[z].astype(np.float32), other, 2, random)
        broken[z] = damaged.clip(0, 255).astype(np.uint8)
    return broken


class Day:
    """A viewer, what the user does in it, and what is counted.

    Parameters
    ----------
    path : Path
        The stack.
    broken : set of int
        Its broken sections.
    pictures : Path or None
        Folder for screenshots.
    """

    def __init__(self, path: Path, broken: set[int], pictures: Path | None) -> None:
        import napari

        self.path, self.broken, self.pictures = path, broken, pictures
        self.actions: dict[str, int] = {}
        self.waited: dict[str, float] = {}
        self.gaps: dict[str, float] = {}
        self.part = ""
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.window = self.viewer.window._qt_window
        self.watch = Gaps()

    def begin(self, part: str) -> None:
        """Begin a part of the day."""
        self.end()
        self.part = part
        self.actions[part], self.waited[part] = 0, 0.0

    def end(self) -> None:
        """Note the longest gap of the part that ends, or is interrupted."""
        if self.part:
            longest = self.watch.summary()["longest_gap_ms"]
            self.gaps[self.part] = max(longest, self.gaps.get(self.part, 0.0))
        self.watch.reset()

    def click(self, button: Any) -> None:
        """Click a button."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        if not (button.isVisible() and button.isEnabled()):
            raise RuntimeError(f"{button.text()!r} cannot be clicked.")
        self.actions[self.part] += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def key(self, widget: Any, key: Any, control: bool = False) -> None:
        """Press a key."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.actions[self.part] += 1
        held = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        QTest.keyClick(widget, key, held)

    def wait(self, condition: Callable[[], object], seconds: float = 300) -> None:
        """Wait, and count how long."""
        begin = time.perf_counter()
        wait(condition, seconds)
        self.waited[self.part] += time.perf_counter() - begin

    def pause(self, seconds: float) -> None:
        """Let the screen be drawn; this is not counted."""
        end = time.monotonic() + seconds
        wait(lambda: time.monotonic() > end, seconds + 5)

    def later(self, condition: Callable[[], object], act: Callable[[], object]) -> None:
        """Do something once a menu or dialog is open, which keeps the caller waiting."""
        from qtpy.QtCore import QTimer

        timer = QTimer(self.window)

        def look() -> None:
            if condition():
                timer.stop()
                act()

        timer.timeout.connect(look)
        timer.start(100)

    def picture(self, name: str, window: Any = None) -> None:
        """Keep screenshots in both themes and two sizes; of another `window` in one size."""
        if self.pictures is None:
            return
        self.end()
        for theme in THEMES:
            self.viewer.theme = theme
            for width, height in SIZES if window is None else SIZES[:1]:
                if window is None:
                    self.window.resize(width, height)
                self.pause(0.2)
                self.viewer.reset_view()  # what was in the middle moves when windows are resized
                self.pause(0.2)
                file = self.pictures / f"{name}-{theme}-{width}x{height}.png"
                (window or self.window).grab().save(str(file))
        self.viewer.theme = THEMES[0]
        self.window.resize(*SIZES[0])
        self.pause(0.2)
        self.watch.reset()  # what screenshots cost is no user's

    def live(self) -> dict[str, Any]:
        """Go through the day."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QDialog

        self.begin("open")
        self.window.resize(*SIZES[0])
        self.viewer.open(self.path, plugin="napari-ssan")
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
        self.actions["open"] += 2
        controller, view = dock.controller, dock.controller.view
        canvas = self.viewer.window._qt_viewer.canvas.native
        self.wait(lambda: controller.current is not None and controller.quick.current is None)
        self.pause(1)
        self.picture("open")

        self.begin("suggest")
        self.click(view.marking.suggest)
        review = controller.current.review
        self.wait(lambda: review.looked)
        self.picture("suggest")
        while review.current is not None:
            before = review.current
            broken = before.z in self.broken and not before.gap
            self.key(canvas, Qt.Key.Key_U if broken else Qt.Key.Key_N)
            self.wait(lambda before=before: review.current is not before, 30)
        marks = controller.current.session.marks
        marked = marks.whole | set(marks.regions)
        found = len(marked & self.broken)

        self.begin("type")
        missed = sorted(self.broken - marked)
        if missed:
            self.click(view.marking.slices.field)
            QTest.keyClicks(view.marking.slices.field, ", ".join(map(str, missed)))
            self.actions["type"] += 1
            self.key(view.marking.slices.field, Qt.Key.Key_Return)
        self.pause(0.5)

        self.begin("repair")
        self.click(view.repairing.repair)
        self.pause(1.5)
        self.picture("during")
        self.wait(lambda: controller.slow.current is None, 400)
        self.pause(1)
        self.picture("repaired")

        self.begin("compare")
        menu = view.looking.models
        self.key(canvas, Qt.Key.Key_J)  # the last suggestion may not have been marked
        self.pause(0.3)

        def choose() -> None:
            for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return):
                self.key(menu, key)

        self.later(menu.isVisible, choose)
        self.click(view.looking.again)
        self.pause(0.5)
        self.wait(lambda: controller.slow.current is None)
        self.click(view.looking.compare)
        compare = controller.comparing
        self.wait(lambda: compare.queue.current is None and compare.window is not None)
        self.pause(0.5)
        self.picture("compare", compare.window)
        self.click(compare.window.close_button)

        self.begin("accept")
        self.click(view.looking.accept)
        self.pause(0.3)
        self.click(view.looking.revert)
        self.pause(0.3)
        self.key(canvas, Qt.Key.Key_Z, control=True)
        self.pause(0.3)
        self.click(view.marking.tools.accept)
        self.pause(0.5)
        self.picture("accepted")

        self.begin("export")

        def save() -> None:
            self.key(QApplication.activeModalWidget(), Qt.Key.Key_Return)

        self.later(lambda: isinstance(QApplication.activeModalWidget(), QDialog), save)
        self.click(view.exporting.export)
        self.wait(lambda: controller.slow.current is None and controller.quick.current is None)
        self.pause(0.5)
        written = sorted(file.name for file in self.path.parent.glob("*_repaired*"))
        accepted = list(controller.current.session.accepted.values())
        self.end()
        self.viewer.close()
        return {
            "defects": len(self.broken),
            "found_by_suggest": found,
            "repaired": len(accepted),
            "accepted": sum(accepted),
            "written": written,
            "actions": sum(self.actions.values()),
            "actions_by_part": self.actions,
            "waited_s": round(sum(self.waited.values()), 1),
            "waited_by_part_s": {name: round(each, 1) for name, each in self.waited.items()},
            "longest_gap_ms": max(self.gaps.values()),
            "gaps_by_part_ms": self.gaps,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sections", type=int, default=64, help="64 at least")
    parser.add_argument("--side", type=int, default=384, help="height and width, pixels")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    need_screen("1700x1100")
    import tifffile

    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # no sidecar is left behind
        path = Path(folder) / "stack.tif"
        tifffile.imwrite(
            path, broken_stack(options.sections, options.side), photometric="minisblack"
        )
        with redirect_stdout(sys.stderr):  # napari prints its notifications
            result = Day(path, set(defects(options.sections)), options.pictures).live()
    print(json.dumps(result) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()

"""A volume of 2000 sections of 20000 x 20000 pixels in napari: what each act costs the GUI thread.

Generates a sparse OME-Zarr with some real sections in a temporary folder, opens it, steps through
it, marks, lassoes, repairs and accepts with real Qt events. Counts the event loop's longest gap,
the bytes that are read, and the memory of the process.
``python benchmarks/large_layer.py --json``;
without a display it starts itself again under xvfb-run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import zarr
from day import Day
from event_loop import need_screen

from napari_ssan.files.write_zarr import halved
from napari_ssan.stack.phantom import phantom

SHAPE = (2000, 20_000, 20_000)
CHUNK = 512
#: Sections that are really there, around the one on which napari opens the volume.
REAL = range(SHAPE[0] // 2 - 5, SHAPE[0] // 2 + 5)
#: Height and width of the lasso, pixels.
LASSO = 300


def sparse_volume(path: Path, shape: tuple[int, int, int] = SHAPE, real: range = REAL) -> Path:
    """Write an OME-Zarr image of which only some sections are there; these are tiles of a phantom.

    Every chunk of a section is the same, so that it can be one file under many names.
    """
    group = zarr.create_group(path, zarr_format=3)
    tiles: npt.NDArray[Any] = phantom((18, CHUNK, CHUNK)).clean[: len(real)]
    datasets, size = [], shape[1:]
    level = 0
    while True:
        array = group.create_array(
            str(level), shape=(shape[0], *size), chunks=(1, CHUNK, CHUNK), dtype="uint8"
        )
        for z, tile in zip(real, tiles, strict=True):
            array[z, :CHUNK, :CHUNK] = tile[: size[0], : size[1]]
            first = path / str(level) / array.metadata.encode_chunk_key((z, 0, 0))
            for y, x in np.ndindex(*(math.ceil(n / CHUNK) for n in size)):
                name = path / str(level) / array.metadata.encode_chunk_key((z, int(y), int(x)))
                name.parent.mkdir(parents=True, exist_ok=True)
                if not name.exists():
                    os.link(first, name)
        scale = [40.0, 4.0 * 2**level, 4.0 * 2**level]
        steps = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
        if max(size) <= 1024:
            break
        level, size = level + 1, (-(-size[0] // 2), -(-size[1] // 2))
        tiles = np.stack([np.tile(halved(tile), (2, 2)) for tile in tiles])
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    image = {"axes": axes, "datasets": datasets, "name": "large"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


class Reading:
    """Counts the bytes that are read from files."""

    def __init__(self) -> None:
        from napari_ssan.files.lazy import LazyArray

        self.bytes, read = 0, LazyArray.part

        def part(array: LazyArray, spans: tuple[slice, ...]) -> npt.NDArray[Any]:
            pixels = read(array, spans)
            self.bytes += pixels.nbytes
            return pixels

        LazyArray.part = part  # type: ignore[method-assign]


class LargeDay(Day):
    """Acts on a large volume, and what they cost."""

    def __init__(self, path: Path, pictures: Path | None, method: str, whole: bool = False) -> None:
        super().__init__(path, set(), pictures)
        self.whole, self.method, self.reading = whole, method, Reading()
        self.read: dict[str, float] = {}
        self.memory: dict[str, float] = {}

    def begin(self, part: str) -> None:
        """Begin an act."""
        super().begin(part)
        self.reading.bytes = 0

    def end(self) -> None:
        """Note what an act has cost."""
        super().end()
        if self.part:
            self.read[self.part] = round(self.reading.bytes / 1e6, 1)
            self.memory[self.part] = round(psutil.Process().memory_info().rss / 1e9, 2)
            found = self.gaps[self.part], self.read[self.part], self.memory[self.part]
            print(f"{self.part}: {found}", file=sys.stderr)

    def lasso(self, canvas: Any, side: float) -> None:
        """Draw a circle around the middle of the canvas, `side` canvas pixels wide."""
        from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        middle = canvas.width() / 2, canvas.height() / 2
        none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        places = [
            (middle[0] + side / 2 * math.cos(a), middle[1] + side / 2 * math.sin(a))
            for a in np.linspace(0, 2 * np.pi, 24)
        ]

        def send(kind: Any, place: tuple[float, float], button: Any, buttons: Any) -> None:
            where = QPointF(canvas.mapToGlobal(QPoint(*(int(n) for n in place))))
            held = Qt.KeyboardModifier.NoModifier
            event = QMouseEvent(kind, QPointF(*place), where, button, buttons, held)
            QApplication.sendEvent(canvas, event)
            self.pause(0.03)

        send(QEvent.Type.MouseMove, places[0], none, none)
        send(QEvent.Type.MouseButtonPress, places[0], left, left)
        for place in places[1:]:
            send(QEvent.Type.MouseMove, place, none, left)
        send(QEvent.Type.MouseButtonRelease, places[-1], left, none)

    def live(self) -> dict[str, Any]:
        """Go through the acts."""
        from qtpy.QtCore import Qt

        self.begin("open")
        self.window.resize(1600, 1000)
        self.viewer.open(self.path, plugin="napari-ssan")
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
        controller, view = dock.controller, dock.controller.view
        canvas = self.viewer.window._qt_viewer.canvas.native
        self.wait(lambda: controller.current is not None and controller.quick.current is None)
        methods = [choice.method for choice in controller.models.entries]
        controller.models.choose(methods.index(self.method))
        self.pause(1.5)
        results = controller.current.results

        def steps(part: str) -> None:
            self.begin(part)
            for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Left):
                self.key(canvas, key)
                self.pause(0.5)

        steps("step")
        self.begin("mark")
        self.key(canvas, Qt.Key.Key_W)
        self.pause(1)
        self.begin("unmark")
        self.key(canvas, Qt.Key.Key_W)
        self.pause(0.5)
        self.wait(lambda: controller.slow.current is None)

        for part in ("lasso", "second lasso"):
            self.begin(part)
            self.key(canvas, Qt.Key.Key_G)
            side = LASSO * self.viewer.scene.camera.zoom * 4  # 4 nm a pixel
            count = len(controller.current.rows)
            self.lasso(canvas, side)
            self.wait(lambda count=count: len(controller.current.rows) > count)
            self.pause(0.5)
            self.key(canvas, Qt.Key.Key_G)
            self.key(canvas, Qt.Key.Key_Right)
            self.pause(0.5)
        self.key(canvas, Qt.Key.Key_Left)
        self.key(canvas, Qt.Key.Key_Left)
        self.pause(0.5)
        self.picture("lasso")
        self.wait(lambda: controller.slow.current is None)  # what is loaded in advance

        def repair(part: str) -> None:
            self.begin(part)
            self.click(view.repairing.repair)
            self.wait(lambda: controller.slow.current is None, 900)
            self.wait(lambda: controller.quick.current is None, 900)
            self.pause(1)

        repair("repair a region")
        self.begin("accept")
        self.click(view.looking.accept)
        self.pause(0.5)
        self.picture("accepted")
        self.begin("before and after")
        for _ in range(2):
            self.click(view.looking.before)
            self.pause(0.5)
        self.begin("tint")
        self.click(view.looking.overlay)
        self.pause(0.5)
        steps("step through the result")
        self.begin("zoom")
        self.viewer.scene.camera.zoom = 1 / 4
        self.pause(1)
        self.picture("zoomed")
        steps("step, zoomed in")
        if self.whole:
            self.begin("whole slice")
            self.viewer.reset_view()
            self.pause(1)
            controller.models.choose(methods.index("average"))
            self.key(canvas, Qt.Key.Key_Right)
            self.pause(0.5)
            self.key(canvas, Qt.Key.Key_W)
            self.pause(0.5)
            repair("repair a whole slice by average")
            steps("step through a whole slice")
            self.picture("whole")
        self.end()
        levels = len(results.layer.data) if results.layer.multiscale else 1
        layers = [type(layer).__name__ for layer in self.viewer.layers]
        self.viewer.close()
        return {
            "shape": SHAPE,
            "levels_of_result": levels,
            "layers": layers,
            "gaps_ms": self.gaps,
            "read_MB": self.read,
            "rss_GB": self.memory,
            "waited_s": {name: round(each, 1) for name, each in self.waited.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--method", default="ssan", help="ssan, average or copy")
    parser.add_argument("--whole", action="store_true", help="also repair a whole slice")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    need_screen("1700x1100")
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # no sidecar is left behind
        path = sparse_volume(Path(folder) / "large.ome.zarr")
        with redirect_stdout(sys.stderr):  # napari prints its notifications
            result = LargeDay(path, options.pictures, options.method, options.whole).live()
    print(json.dumps(result) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()

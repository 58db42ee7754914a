"""How long the GUI stands still during a repair, or a training: the event loop's longest gap.

Run on an idle machine: ``python benchmarks/event_loop.py --json`` for a repair, and with
``--training child`` or ``--training thread`` for a training in a process of its own or in
the viewer's. It opens a real viewer; without a display it starts itself again under xvfb-run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from typing import Any

import numpy as np

TICK_MS = 2


class Gaps:
    """Times between two ticks of a timer in the GUI thread."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.times: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter()))
        self._timer.start(TICK_MS)

    def reset(self) -> None:
        """Begin anew."""
        self.times = [time.perf_counter()]

    def summary(self) -> dict[str, float]:
        """Longest gap, the 99th percentile, and how long it was watched."""
        gaps = 1000 * np.diff([*self.times, time.perf_counter()])
        return {
            "longest_gap_ms": round(float(gaps.max()), 1),
            "p99_gap_ms": round(float(np.quantile(gaps, 0.99)), 1),
            "seconds": round(self.times[-1] - self.times[0], 2),
        }


def wait(condition: Any, seconds: float) -> None:
    """Run the event loop until something holds."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, check = QEventLoop(), QTimer()
    check.timeout.connect(lambda: loop.quit() if condition() else None)
    check.start(20)
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    if not condition():
        raise TimeoutError


def need_screen(size: str = "1400x1000") -> None:
    """Start the program again under xvfb-run if there is no display."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY") and shutil.which("xvfb-run"):
        screen = ["xvfb-run", "-a", "-s", f"-screen 0 {size}x24"]
        os.execvp(screen[0], [*screen, sys.executable, *sys.argv])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=512, help="height and width of a section")
    parser.add_argument("--slices", type=int, default=2, help="how many are repaired")
    parser.add_argument("--method", default="ssan", help="ssan, average, copy or tvl1")
    parser.add_argument("--training", choices=["child", "thread"], help="train instead of repair")
    parser.add_argument("--seconds", type=float, default=60, help="how long training is watched")
    arguments = parser.parse_args()
    need_screen()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # no sidecar is left behind
        result = measure_training(arguments) if arguments.training else measure(arguments)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


def open_viewer(sections: int, size: int) -> Any:
    """Open a viewer with a stack of structure that changes slowly."""
    import napari
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    volume = gaussian_filter(random.standard_normal((sections, size, size)), (1.5, 4, 4))
    volume = (128 + 40 * volume / volume.std()).clip(0, 255).astype(np.uint8)
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_image(volume, name="em")
    return viewer


def idle(gaps: Gaps) -> None:
    """Watch the event loop while nothing happens."""
    gaps.reset()
    wait(lambda: len(gaps.times) > 500, 60)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Repair twice: with the first import of torch, and without it."""
    viewer = open_viewer(2 * arguments.slices + 3, arguments.size)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
    controller = dock.controller
    methods = [choice.method for choice in controller.models.entries]
    controller.models.choose(methods.index(arguments.method))
    controller.finish()
    gaps = Gaps()
    wait(lambda: len(gaps.times) > 500, 60)
    results: dict[str, Any] = {
        "method": arguments.method,
        "size": arguments.size,
        "slices": arguments.slices,
    }
    for name in ("idle", "first", "repair"):
        session = controller.current.session
        if name == "idle":
            idle(gaps)
        else:
            session.unmark([row.marks[0] for row in controller.current.rows])
            session.mark([2 * n + 2 for n in range(arguments.slices)])
            gaps.reset()
            controller.repair()
            wait(lambda: controller.slow.current is None, 3600)
        results[name] = gaps.summary()
    results["longest_gap_ms"] = results["repair"]["longest_gap_ms"]
    results["goal_ms"] = 100
    viewer.close()
    return results


def measure_training(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look what can be used, begin to train, and train, with curves and preview on view."""
    viewer = open_viewer(30, arguments.size)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ssan", "Fine-tune")
    controller, trainer = dock.controller, dock.controller.trainer
    view = controller.view
    view.options.faithful.click()
    view.options.minutes.setValue(60)
    view.options.separate.value = arguments.training == "child"
    for fold in view.live.folds:
        fold.unfold()
    gaps = Gaps()
    results: dict[str, Any] = {"training": arguments.training, "size": arguments.size}
    wait(lambda: controller.data.division is not None, 600)
    results["opening"] = gaps.summary()
    idle(gaps)
    results["idle"] = gaps.summary()
    gaps.reset()
    controller.train()
    history = trainer.history
    wait(lambda: history.latest is not None, 600)
    results["preparing"] = gaps.summary()
    gaps.reset()
    end = time.monotonic() + arguments.seconds
    wait(lambda: time.monotonic() > end, arguments.seconds + 60)
    results["trained"] = gaps.summary() | {"steps": history.latest.step}
    gaps.reset()
    trainer.discard()
    wait(lambda: trainer.state.phase == "idle", 120)
    results["discarding"] = gaps.summary()
    controller.finish()
    results["longest_gap_ms"] = results["trained"]["longest_gap_ms"]
    results["goal_ms"] = 150
    viewer.close()
    return results


if __name__ == "__main__":
    main()

"""How long the GUI stands still during a repair: the event loop's longest gap, in a real viewer.

Run on an idle machine: ``python benchmarks/event_loop.py --json``. Without a
display it starts itself again under xvfb-run.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=512, help="height and width of a section")
    parser.add_argument("--slices", type=int, default=2, help="how many are repaired")
    parser.add_argument("--method", default="ssan", help="ssan, average, copy or tvl1")
    arguments = parser.parse_args()
    if sys.platform == "linux" and not os.environ.get("DISPLAY") and shutil.which("xvfb-run"):
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24"]
        os.execvp(screen[0], [*screen, sys.executable, *sys.argv])

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # no sidecar is left behind
        result = measure(arguments)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Repair twice: with the first import of torch, and without it."""
    import napari
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    shape = (2 * arguments.slices + 3, arguments.size, arguments.size)
    volume = gaussian_filter(random.standard_normal(shape), (1.5, 4, 4))
    volume = (128 + 40 * volume / volume.std()).clip(0, 255).astype(np.uint8)
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_image(volume, name="em")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
    controller = dock.controller
    methods = [choice.method for choice in controller.models]
    controller.choose_model(methods.index(arguments.method))
    controller.finish()
    gaps = Gaps()
    wait(lambda: len(gaps.times) > 500, 60)
    results: dict[str, Any] = {
        "method": arguments.method,
        "size": arguments.size,
        "slices": arguments.slices,
    }
    for name in ("idle", "first", "repair"):
        session = controller.bench.session
        if name == "idle":
            gaps.reset()
            wait(lambda: len(gaps.times) > 500, 60)
        else:
            session.unmark([row.marks[0] for row in controller.bench.rows])
            session.mark([2 * n + 2 for n in range(arguments.slices)])
            gaps.reset()
            controller.repair()
            wait(lambda: controller.slow.current is None, 3600)
        results[name] = gaps.summary()
    results["longest_gap_ms"] = results["repair"]["longest_gap_ms"]
    results["goal_ms"] = 100
    viewer.close()
    return results


if __name__ == "__main__":
    main()

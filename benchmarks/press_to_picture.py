"""How long a lasso takes from *Repair* to its pixels on screen, in a real viewer.

A lasso of 300 x 300 pixels in a section of 4096 x 4096, with torch imported and the network
loaded in the background, as the dock does once something is marked. ``python
benchmarks/press_to_picture.py --json``; without a display it starts itself again under xvfb-run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from typing import Any

import numpy as np
from event_loop import need_screen, wait
from speed import three_sections

from napari_ssan.stack.region import Region


def measure(side: int, lasso: int, repeats: int) -> dict[str, Any]:
    """Repair a new lasso again and again; medians of the seconds."""
    import napari

    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_image(three_sections(side), name="em", contrast_limits=(0, 255), multiscale=False)
    viewer.dims.set_current_step(0, 1)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
    controller = dock.controller
    wait(lambda: controller.current is not None and controller.quick.current is None, 60)
    session, seen = controller.current.session, list[float]()
    session.patched.connect(lambda slots: seen.append(time.perf_counter()))
    first, done = [], []
    for number in range(repeats + 1):
        session.unmark([row.marks[0] for row in controller.current.rows])
        top = left = lasso + number * 2 * lasso % (side - 2 * lasso)
        session.add_region(1, Region(top, left, np.ones((lasso, lasso), bool)))
        wait(lambda: controller.slow.current is None, 300)  # the network is loaded now
        seen.clear()
        begin = time.perf_counter()
        controller.repair()
        wait(lambda: controller.slow.current is None and bool(seen), 300)
        viewer.screenshot(canvas_only=True, flash=False)  # what is on screen, is drawn
        if number:  # the first one warms up
            first.append(seen[0] - begin)
            done.append(time.perf_counter() - begin)
    viewer.close()
    return {
        "side": side,
        "lasso": lasso,
        "first_pixels_s": statistics.median(first),
        "done_and_drawn_s": statistics.median(done),
        "goal_first_s": 1.0,
        "goal_done_s": 3.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--side", type=int, default=4096, help="height and width, pixels")
    parser.add_argument("--lasso", type=int, default=300, help="height and width, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    need_screen()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # no sidecar is left behind
        result = measure(options.side, options.lasso, options.repeats)
    print(json.dumps(result) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()

"""What keeping a patch costs, whatever was kept before it: 500 marks, each repaired and saved.

Run ``python benchmarks/journal.py --json``. Every mark is a lassoed region with a patch of its
own, saved to a sidecar on the disk that ``--folder`` names. For each hundred it tells the time
to take a patch up and save what that changed (pixels apart), and what the journal grew by.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.session.journal import NAME
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

MARKS, STEP = 500, 100
SIDE = 64


def outline(z: int) -> list[tuple[float, float]]:
    """A lasso of 200 vertices, another one for every section."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 20 + 4 * np.sin(5 * angle + z)
    return list(zip(32 + radius * np.sin(angle), 32 + radius * np.cos(angle), strict=True))


def made_for(z: int, region: Region) -> Patch:
    """Patch of a region, as a repair makes it."""
    record = SyntheticSection(
        section=z,
        kind="region",
        share=region.pixels / SIDE**2,
        neighbours=(z - 1, z + 1),
        position=0.5,
        method="ssan",
        model="ssan-fidelity",
    )
    pixels = np.full(region.mask.shape, z % 256, np.uint8)
    error = np.full(region.mask.shape, 5, np.float32)
    return Patch((z, 0), region.top, region.left, pixels, region.mask, record, error)


def measure(folder: Path) -> list[dict[str, float]]:
    """Time and bytes per patch, for each hundred."""
    stack = SliceStack(np.zeros((2 * MARKS + 1, SIDE, SIDE), np.uint8))
    sidecar = Sidecar(folder)
    session = RepairSession(stack, sidecar.save)
    for z in range(1, 2 * MARKS, 2):
        session.add_region(z, Region.from_outline(outline(z), stack.shape[1:]))
    job = session.claim()
    rows, times, size = [], [], (folder / NAME).stat().st_size
    for number, (z, (region,)) in enumerate(sorted(session.marks.regions.items()), 1):
        patch = sidecar.keep(made_for(z, region))
        start = time.perf_counter()
        assert session.take(patch, job)
        times.append(1000 * (time.perf_counter() - start))
        if number % STEP == 0:
            grown, size = (folder / NAME).stat().st_size - size, (folder / NAME).stat().st_size
            rows.append(
                {
                    "patches": number,
                    "ms": round(float(np.mean(times)), 2),
                    "median_ms": round(float(np.median(times)), 2),
                    "bytes": round(grown / STEP),
                }
            )
            times = []
    assert str(Sidecar(folder).load(stack)).startswith("500 marks and 500 repaired slices")
    return rows


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on which disk; else that of temporary files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = measure(Path(folder) / "sidecar")
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"patches {row['patches'] - STEP + 1:3} to {row['patches']:3}: "
            f"{row['ms']:.2f} ms and {row['bytes']} bytes each (median {row['median_ms']:.2f} ms)"
        )


if __name__ == "__main__":
    main()

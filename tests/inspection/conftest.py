"""A generated stack with broken sections, and what an inspection says of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.find import Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.look import Sighting, look
from napari_ssan.inspection.view import View
from napari_ssan.stack.phantom import Phantom, phantom
from napari_ssan.stack.sections import SliceStack


@pytest.fixture(scope="session")
def broken() -> Phantom:
    """Blank at 6, smeared at 11, dirty at 16."""
    return phantom((20, 176, 192), seed=3)


@pytest.fixture(scope="session")
def inspection(broken) -> Inspection:
    *_, found = inspect(View(SliceStack(broken.broken)))
    return found


@pytest.fixture(scope="session")
def sightings(broken) -> dict[int, Sighting]:
    """Five good sections."""
    return {z: look(z, broken.clean[z].astype(np.float32)) for z in range(5)}

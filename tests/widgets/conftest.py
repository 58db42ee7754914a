"""A small stack, a dock to repair it in, and a look at what is left over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.compat import isalive
from scipy.ndimage import gaussian_filter

from napari_ssan.engine.provenance import Provenance, SyntheticSection


@pytest.fixture(scope="session")
def smooth() -> np.ndarray:
    """(10, 64, 80) uint8: structure that changes slowly from section to section."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((10, 64, 80)), (1.5, 4, 4))
    return (128 + 40 * structure / structure.std()).clip(1, 254).astype(np.uint8)


@pytest.fixture
def volume(smooth: np.ndarray) -> np.ndarray:
    """A copy of it that a test may break."""
    return smooth.copy()


@pytest.fixture
def circle() -> Callable[..., np.ndarray]:
    """Makes a polygon, (24, 3), around a place in a section."""

    def make(z: float, y: float = 30, x: float = 40, radius: float = 8) -> np.ndarray:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return np.stack([np.full(24, z), y + radius * np.sin(angle), x + radius * np.cos(angle)], 1)

    return make


@pytest.fixture
def repaired_before() -> Callable[..., dict[str, Any]]:
    """What a file says of sections that were repaired before, as a layer keeps it."""

    def record(*sections: int) -> dict[str, Any]:
        made = [
            SyntheticSection(
                section=z,
                kind="whole",
                share=1.0,
                neighbours=(z - 1, z + 1),
                position=0.5,
                method="ssan",
                model="ssan-fidelity",
            )
            for z in sections
        ]
        return Provenance(sections=tuple(made)).model_dump(mode="json")

    return record


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail on threads of ours that still run, and on top-level widgets that nobody owns."""
    with_qt = {"qtbot", "qapp"} & set(request.fixturenames)
    before = set(_widgets(request)) if with_qt else set()
    yield
    running = [t for t in threading.enumerate() if t.name == "napari-ssan" and t.is_alive()]
    assert not running, f"threads still run: {running}"
    if with_qt:
        left = [w for w in _widgets(request) if w not in before]
        assert not left, f"widgets are left over: {left}"


def _widgets(request: pytest.FixtureRequest) -> list[Any]:
    """Top-level widgets of this package."""
    application = request.getfixturevalue("qapp")
    application.sendPostedEvents(None, 52)  # deferred deletions
    return [
        widget
        for widget in application.topLevelWidgets()
        if type(widget).__module__.startswith("napari_ssan")
    ]


@pytest.fixture
def notifications(monkeypatch) -> list[Any]:
    """What napari notifies of, in order."""
    from napari.utils.notifications import notification_manager

    seen: list[Any] = []
    monkeypatch.setattr(notification_manager, "dispatch", seen.append)
    return seen


@pytest.fixture
def make_controller(qapp) -> Iterator[Callable[..., Any]]:
    """Makes a controller in a viewer model, with the average as its model."""
    from napari_ssan.widgets.repair.controller import RepairController

    made = []

    def make(viewer: Any, method: str = "average") -> Any:
        controller = RepairController(viewer)
        made.append(controller)
        index = [choice.method for choice in controller.models.entries].index(method)
        controller.view.repairing.model.setCurrentIndex(index)
        controller.models.choose(index)
        controller.finish()
        return controller

    yield make
    for controller in made:
        controller.close()
        if isalive(controller.view):
            controller.view.deleteLater()

"""From labelled sections to a segmenter, and to two that never judge what they have seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from threading import Event as Flag

import numpy as np
from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field

from napari_ssan.errors import BadInput
from napari_ssan.segmenter.crops import Jitter, Mask, crops, membranes_of
from napari_ssan.segmenter.segmenter import (
    SUFFIX,
    Levels,
    Segmenter,
    load_segmenter,
    save_segmenter,
)
from napari_ssan.stack.sections import Array, SliceStack

#: Sections on either side of the middle that train neither half's judge.
GAP = 2
#: Of the way in which segmenters are trained; cached ones of another are not used.
RECIPE = 1

Steps = Callable[[int, int], object]


class SegmenterSettings(BaseModel):
    """How a segmenter is trained.

    Attributes
    ----------
    steps : int
        Batches of the training.
    batch, crop : int
        Crops in a batch, and their height and width in pixels.
    learning_rate : float
        At its highest.
    channels : tuple of int
        Of the network's levels.
    jitter : Jitter
        How much crops are varied.
    seed : int
        Of the weights and of the crops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(400, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(128, ge=16, multiple_of=16)
    learning_rate: float = Field(4e-3, gt=0)
    channels: tuple[int, ...] = Field((16, 32, 48, 64), min_length=1, max_length=5)
    jitter: Jitter = Jitter()
    seed: int = 0


#: About a minute on one thread.
STANDARD = SegmenterSettings()


def train_segmenter(
    sections: Sequence[Array],
    labels: Sequence[Array],
    settings: SegmenterSettings = STANDARD,
    report: Steps = lambda done, total: None,
    cancel: Flag | None = None,
) -> Segmenter:
    """Train a segmenter on the CPU.

    The same input gives the same segmenter, on one machine and with one number of threads.

    Parameters
    ----------
    sections : sequence of ndarray, (height, width) each
        Grey, of any dtype.
    labels : sequence of ndarray
        Their membranes, in the same shapes; see
        :func:`~napari_ssan.segmenter.crops.membranes_of`.
    settings : SegmenterSettings
        Size, length and variation of the training.
    report : callable
        Called with the steps done and the steps in all.
    cancel : threading.Event, optional
        Set it to stop at the next step.

    Raises
    ------
    BadInput
        If the labels do not fit the sections or hold no membranes, or a
        section is not finite.
    Cancelled
        If `cancel` was set.
    """
    return _train(sections, _checked(sections, labels), settings, report, cancel)


def two_fold(
    stack: SliceStack,
    labels: Array,
    settings: SegmenterSettings = STANDARD,
    report: Steps = lambda done, total: None,
    cancel: Flag | None = None,
    folder: Path | None = None,
) -> Callable[[int], Segmenter]:
    """Judges for a labelled stack: each half's is trained on the other half.

    Two sections next to the middle train none, so that what is synthesized
    from neighbours across it is not judged by what has seen them. A judge is
    trained when the first section of its half is asked for, and kept on disk
    under a digest of data, labels and settings: a second run trains none.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    labels : ndarray, (sections, height, width)
        Their membranes; see :func:`~napari_ssan.segmenter.crops.membranes_of`.
    settings, report, cancel
        See :func:`train_segmenter`.
    folder : Path, optional
        Where judges are kept; default the user's cache.

    Returns
    -------
    callable
        From the number of a section to its judge. It raises what
        :func:`train_segmenter` raises.

    Raises
    ------
    BadInput
        If the labels do not fit the stack or hold no membranes, or the stack
        has fewer than six sections.
    """
    middle = len(stack) // 2
    if middle <= GAP:
        raise BadInput(
            f"The labelled stack has {len(stack)} sections; "
            f"at least {2 * GAP + 2} are needed to judge each half by the other."
        )
    if labels.shape != stack.shape:
        raise BadInput(
            f"The labels are of shape {labels.shape} and the stack of {stack.shape}; "
            "give labels for every section."
        )
    membranes = membranes_of(list(labels))
    home = folder or user_cache_path("napari-ssan") / "segmenters"
    training = {
        False: range(middle + GAP, len(stack)),
        True: range(middle - GAP),
    }

    @cache
    def judge(second_half: bool) -> Segmenter:
        seen = training[second_half]
        return _cached(
            [stack.read(z) for z in seen],
            [membranes[z] for z in seen],
            settings,
            report,
            cancel,
            home,
        )

    return lambda z: judge(z >= middle)


def _cached(
    sections: list[Array],
    membranes: list[Mask],
    settings: SegmenterSettings,
    report: Steps,
    cancel: Flag | None,
    folder: Path,
) -> Segmenter:
    digest = hashlib.sha256(f"{RECIPE} {settings.model_dump_json()}".encode())
    for image in (*sections, *membranes):
        digest.update(f"{image.dtype} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    path = folder / f"{digest.hexdigest()[:32]}{SUFFIX}"
    if path.is_file():
        try:
            return load_segmenter(path)
        except BadInput:
            path.unlink()  # A damaged one is made anew.
    segmenter = _train(sections, membranes, settings, report, cancel)
    folder.mkdir(parents=True, exist_ok=True)
    save_segmenter(path, segmenter)
    return segmenter


def _train(
    sections: Sequence[Array],
    membranes: Sequence[Mask],
    settings: SegmenterSettings,
    report: Steps,
    cancel: Flag | None,
) -> Segmenter:
    from napari_ssan.segmenter.unet import train_unet

    normalized = [Levels.of(section).normalize(section) for section in sections]
    batches = crops(
        normalized, membranes, settings.jitter, settings.batch, settings.crop, settings.seed
    )
    network = train_unet(
        settings.channels,
        batches,
        settings.steps,
        settings.learning_rate,
        settings.seed,
        report,
        cancel,
    )
    return Segmenter(network, {"settings": settings.model_dump(mode="json")})


def _checked(sections: Sequence[Array], labels: Sequence[Array]) -> list[Mask]:
    shapes, others = ([image.shape for image in images] for images in (sections, labels))
    if shapes != others:
        raise BadInput(
            "The labels do not have the shapes of the sections; give labels of the same size."
        )
    return membranes_of(labels)

"""Trains segmenters from labelled sections: one, or two that each judge the other's half.

A segmenter must not judge sections that it was trained on; :func:`two_fold` makes sure of it.
"""

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
from napari_ssan.network.model_file import SUFFIX
from napari_ssan.segmenter.crops import Jitter, crops, membranes_of
from napari_ssan.segmenter.segmenter import Levels, Segmenter, load_segmenter, save_segmenter
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.selection import Report

#: Sections on either side of the middle that no judge is trained on.
GAP = 2
#: Version of the training method; segmenters cached under another one are not used.
RECIPE = 1


class SegmenterSettings(BaseModel):
    """How a segmenter is trained.

    Attributes
    ----------
    steps : int
        Number of batches.
    batch, crop : int
        Crops in a batch, and their height and width in pixels.
    learning_rate : float
        Highest learning rate.
    channels : tuple of int
        Channels of the network's levels.
    jitter : Jitter
        How much crops are varied.
    seed : int
        Seed of the weights and of the crops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(400, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(128, ge=16, multiple_of=16)
    learning_rate: float = Field(4e-3, gt=0)
    channels: tuple[int, ...] = Field((16, 32, 48, 64), min_length=1, max_length=5)
    jitter: Jitter = Jitter()
    seed: int = 0


#: Takes about a minute on one thread.
STANDARD = SegmenterSettings()


def train_segmenter(
    sections: Sequence[Array],
    labels: Sequence[Array],
    settings: SegmenterSettings = STANDARD,
    report: Report = lambda done, total: None,
    cancel: Flag | None = None,
) -> Segmenter:
    """Train a segmenter on the CPU.

    The same input gives the same segmenter on the same machine with the same number of threads.

    Parameters
    ----------
    sections : sequence of ndarray, (height, width) each
        Grey, of any dtype.
    labels : sequence of ndarray
        Labels of the membranes, of the same shapes; see
        :func:`~napari_ssan.segmenter.crops.membranes_of`.
    settings : SegmenterSettings
        Network size, number of steps, and variation of the crops.
    report : callable
        Called with the steps done and the steps in total.
    cancel : threading.Event, optional
        Set it to stop at the next step.

    Raises
    ------
    BadInput
        If the labels do not fit the sections or hold no membranes, or a
        section has values that are not finite.
    Cancelled
        If `cancel` was set.
    """
    shapes, others = ([image.shape for image in images] for images in (sections, labels))
    if shapes != others:
        raise BadInput(
            "The labels do not have the same shapes as the sections; give labels of the same size."
        )
    return _train(sections, membranes_of(labels), settings, report, cancel)


def two_fold(
    stack: SliceStack,
    labels: Array,
    settings: SegmenterSettings = STANDARD,
    report: Report = lambda done, total: None,
    cancel: Flag | None = None,
    folder: Path | None = None,
) -> Callable[[int], Segmenter]:
    """Make judges for a labelled stack: each half is judged by a segmenter trained on the other.

    Two sections on either side of the middle train no judge, so that no judge has
    seen the neighbours from which a section near the middle is synthesized. A judge
    is trained when it is first asked for, and cached on disk under a digest of data,
    labels and settings. A second run trains none.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    labels : ndarray, (sections, height, width)
        Labels of the membranes; see :func:`~napari_ssan.segmenter.crops.membranes_of`.
    settings, report, cancel
        See :func:`train_segmenter`.
    folder : Path, optional
        Folder of cached judges; default is the user's cache.

    Returns
    -------
    callable
        Takes the number of a section and returns its judge. It raises the same errors
        as :func:`train_segmenter`.

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
            f"at least {2 * GAP + 2} are needed to train on one half and judge the other."
        )
    if labels.shape != stack.shape:
        raise BadInput(
            f"The labels have the shape {labels.shape}, but the stack has {stack.shape}; "
            "give labels for every section."
        )
    membranes = membranes_of(list(labels))
    home = folder or user_cache_path("napari-ssan") / "segmenters"
    training = {False: range(middle + GAP, len(stack)), True: range(middle - GAP)}

    @cache
    def judge(second_half: bool) -> Segmenter:
        seen = training[second_half]
        sections, truths = [stack.read(z) for z in seen], [membranes[z] for z in seen]
        digest = hashlib.sha256(f"{RECIPE} {settings.model_dump_json()}".encode())
        for image in (*sections, *truths):
            digest.update(f"{image.dtype} {image.shape}".encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        path = home / f"{digest.hexdigest()[:32]}{SUFFIX}"
        if path.is_file():
            try:
                return load_segmenter(path)
            except BadInput:
                path.unlink()  # A damaged one is trained again.
        segmenter = _train(sections, truths, settings, report, cancel)
        home.mkdir(parents=True, exist_ok=True)
        save_segmenter(path, segmenter)
        return segmenter

    return lambda z: judge(z >= middle)


def _train(
    sections: Sequence[Array],
    membranes: Sequence[Mask],
    settings: SegmenterSettings,
    report: Report,
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

"""Membranes of a judged stack: by its labels where it has any, else by the bundled segmenter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ssan.cli.sources import parse_source
from napari_ssan.evaluation.membranes import Membranes
from napari_ssan.segmenter.crops import membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.segmenter.training import two_fold
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source


def cut(source: Source) -> SliceStack:
    """The sections of a source alone, in memory, numbered from 0."""
    sections = source.sections[:: source.spacing]
    return SliceStack(np.stack([source.stack.read(z) for z in sections]))


def membranes(source: Source, stack: SliceStack, labels: str | None) -> Membranes:
    """Who finds membranes in a stack, and where they truly are.

    With labels, each half is judged by a segmenter that is trained on the other
    (minutes, once: it is kept in the user's cache). Without, the bundled
    segmenter compares with what it finds in the real section.

    Parameters
    ----------
    source : Source
        Which sections of a stack are judged.
    stack : SliceStack
        What :func:`cut` made of them.
    labels : str or None
        File with a label for each section of the whole stack.

    Raises
    ------
    BadInput
        If the labels do not fit.
    """
    if labels is None:
        segmenter = bundled_segmenter()
        return Membranes(lambda z: segmenter)
    whole = parse_source(labels)
    marked = cut(replace(whole, start=source.start, stop=source.stop, spacing=source.spacing))
    known = np.stack([marked.read(z) for z in range(len(marked))])
    return Membranes(two_fold(stack, known), membranes_of(list(known)))

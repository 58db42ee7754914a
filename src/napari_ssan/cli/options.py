"""Arguments and options that several commands share, each declared once.

A command uses them as annotations of its parameters and gives the default there; an option that
only one command has stays in that command. Easy to get wrong: a choice is a ``Literal``, so that
``--help`` lists it and typer refuses anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from napari_ssan.network.model_file import SUFFIX

#: Names of the methods, as in :data:`napari_ssan.engine.methods.METHODS`.
MethodName = Literal["ssan", "copy", "average", "registered", "ilk", "tvl1"]
LossName = Literal["L_1", "L_f", "L_s"]
#: torch takes more, but the system does not.
MOST_THREADS = 1024
#: How a part of a stack is named.
SYNTAX = (
    "PATH[0:80] takes slices 0 to 79. PATH[::4] treats slices four apart as adjacent. "
    "PATH[::5]@1 cuts along axis 1. PATH[:,0:99] takes rows 0 to 98. "
    "PATH~3 joins 3 x 3 pixels into one."
)

StackPath = Annotated[
    Path,
    Argument(
        metavar="STACK",
        help="The stack: TIFF, zarr, OME-Zarr, HDF5, MRC, or a folder of single-slice images. A "
        "zarr store may be an address: http(s)://, s3:// or gs://.",
    ),
]
FollowLinks = Annotated[
    bool,
    Option("--follow-links", help="Also read what an input takes from outside its folder."),
]
Marked = Annotated[
    str,
    Option(
        metavar="SLICES|FILE",
        help="Broken slices, counted from 0, as in 12,47-48, or a .json or .csv file of marks. "
        "They are not used.",
    ),
]
Model = Annotated[
    str,
    Option(
        help=f"Name of a model, or a {SUFFIX} file. ssan-natural-40 lies 40 % of the way from "
        "ssan-fidelity to ssan-realistic."
    ),
]
Views = Annotated[
    int | None,
    Option(
        help="Average over 1, 2, 4 or 8 mirrored and turned views. More views are closer to "
        "the real slice, smoother, and as many times slower.",
        show_default="1",
    ),
]
LOSS = Option(
    help="What the model learns: L_1 is closest to the real pixels, L_f adds VGG16 features, "
    "L_s adds style for natural texture.",
    show_default="L_1",
)
Vgg = Annotated[
    str,
    Option(
        metavar="FILE|download",
        help="VGG16 weights for L_f and L_s: a file, or 'download' to fetch them (528 MB). "
        "Without weights, L_1 is used instead.",
    ),
]
Device = Annotated[str, Option(help="Where to compute: auto, cpu, cuda:0, cuda:1 or mps.")]
Threads = Annotated[int, Option(min=0, max=MOST_THREADS, help="Number of CPU threads; 0 uses all.")]
Resume = Annotated[bool, Option("--resume", help="Continue the interrupted run of this command.")]
VolumePath = Annotated[
    Path,
    Argument(metavar="VOLUME", help="An OME-Zarr image or zarr array that was repaired in place."),
]
Backup = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Folder for the original chunks.",
        show_default="VOLUME.originals, beside it",
    ),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an output that exists already.")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of a table.")]

"""The paper's Table 5, measured: membranes that a segmenter finds in what is synthesized.

Dice and F1 against the labels of the judged stack, by segmenters that have not
seen the section: each half of the stack is judged by one that is trained on the
other (a few minutes, once; they are kept in the user's cache). ``real`` is the
real section, found by the same. Names are those of ``table4.py``.

``NAPARI_SSAN_DATA=FOLDER python benchmarks/table5.py`` trains each for a minute
on one thread and judges six sections of another stack of the same tissue;
``--help`` says how to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from systems.paper import TABLE_5
from systems.study import Study, options_of
from systems.study import main as run

STUDY = Study(
    "Table 5",
    __doc__ or "",
    TABLE_5,
    (*TABLE_5, "displaced-L_s"),
    measures=("dice", "f1"),
    further=("psnr", "psnr_lowpass", "hf_ratio"),
    minutes=1.0,
    use=True,
)


def main(arguments: Sequence[str] | None = None) -> None:
    run(STUDY, arguments, options_of(STUDY))


if __name__ == "__main__":
    main()

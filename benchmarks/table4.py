"""The paper's Table 4, measured: SSAN against SepConv and a method in the manner of DAIN.

Names carry the loss, so that the rivals of Fig. 7 are
``--systems SepConv-L_1 SepConv-L_f SepConv-L_s DAIN-L_1 DAIN-L_s SSAN-L_s``.
``displaced-L_s`` is SSAN with warps that move real pixels, as in the models that
come along; the paper has no such row.

``NAPARI_SSAN_DATA=FOLDER python benchmarks/table4.py`` trains each for a minute
and a half on one thread and judges six sections of another stack of the same
tissue; ``--help`` says how to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from systems.paper import TABLE_4
from systems.study import Study, options_of
from systems.study import main as run

STUDY = Study("Table 4", __doc__ or "", TABLE_4, (*TABLE_4, "displaced-L_s"))


def main(arguments: Sequence[str] | None = None) -> None:
    run(STUDY, arguments, options_of(STUDY))


if __name__ == "__main__":
    main()

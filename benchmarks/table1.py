"""The paper's Table 1, measured: which features to synthesize from.

U-Net and RDN see both sections at once; SU-Net and SRDN are their siamese
forms. All have the attention-aware layer, warp heads and hybrid network of
SSAN, of which SRDN is the extractor.

``NAPARI_SSAN_DATA=FOLDER python benchmarks/table1.py`` trains each for a minute
and a half on one thread, with the style loss, and judges six sections of
another stack of the same tissue; ``--help`` says how to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from systems.paper import TABLE_1
from systems.registry import EXTRACTORS
from systems.study import Study, options_of
from systems.study import main as run

STUDY = Study("Table 1", __doc__ or "", TABLE_1, EXTRACTORS)


def main(arguments: Sequence[str] | None = None) -> None:
    run(STUDY, arguments, options_of(STUDY))


if __name__ == "__main__":
    main()

"""The paper's Table 3, measured: which layer makes the pixels.

After the siamese residual dense network: kernel estimation (KEL, whose
kernels make the warped sections), dense self-attention (SA, which did not fit
into the authors' GPU; here crops are small), interlaced sparse self-attention
(SSA), or the attention-aware layer (AAL). The hybrid network is the same.

``NAPARI_SSAN_DATA=FOLDER python benchmarks/table3.py`` trains each for a minute
and a half on one thread, with the style loss, and judges six sections of
another stack of the same tissue; ``--help`` says how to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from systems.paper import TABLE_3
from systems.registry import LAYERS
from systems.study import Study, options_of
from systems.study import main as run

STUDY = Study("Table 3", __doc__ or "", TABLE_3, LAYERS)


def main(arguments: Sequence[str] | None = None) -> None:
    run(STUDY, arguments, options_of(STUDY))


if __name__ == "__main__":
    main()

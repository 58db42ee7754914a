"""What each part of the method is worth: the same network and budget, one thing changed.

Beside the network of the paper's tables (style balance, attention-aware layer, hybrid
mask): pixels alone, features, style without its balance; interlaced sparse attention
and none; a plain mean for the mask; warps that move real pixels; triplets that were
not aligned; crops that are not zoomed.

``NAPARI_SSAN_DATA=FOLDER python benchmarks/ablation.py`` trains each for a minute
and a half on one thread and judges six sections of another stack of the same
tissue, with the membranes that segmenters find; ``--help`` says how to have it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from systems.options import WEIGHTS
from systems.study import Study, Variant, options_of
from systems.study import main as run

from napari_ssan.losses.config import LossConfig
from napari_ssan.stack.augmentation import Augmentation

VARIANTS = {
    "all": Variant("SSAN", "L_s"),
    "L_1": Variant("SSAN", "L_1"),
    "L_f": Variant("SSAN", "L_f"),
    "no-balance": Variant("SSAN", "L_s", {"loss": LossConfig(balance=False, **WEIGHTS)}),
    "sparse-attention": Variant("SSA", "L_s"),
    "no-attention": Variant("no-attention", "L_s"),
    "mean": Variant("mean", "L_s"),
    "displaced": Variant("displaced", "L_s"),
    "unaligned": Variant("SSAN", "L_s", {"select": False}),
    "no-zoom": Variant("SSAN", "L_s", {"augmentation": Augmentation(zoom=1.0)}),
}
STUDY = Study(
    "Ablation",
    __doc__ or "",
    {},
    tuple(VARIANTS),
    measures=("psnr", "ssim", "ie"),
    further=("psnr_lowpass", "hf_ratio", "dice", "f1"),
    use=True,
    variants=VARIANTS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    run(STUDY, arguments, options_of(STUDY))


if __name__ == "__main__":
    main()

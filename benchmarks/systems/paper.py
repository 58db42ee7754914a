"""What the paper prints: Tables 1, 3, 4 and 5 (Table 2 stands in ``attention.py``)."""

from __future__ import annotations

#: Figures of a system by data set: cremi_triplet A, B, C and mouse_triplet.
Figures = dict[str, dict[str, float]]


def _fidelity(a: str, b: str, c: str, mouse: str) -> Figures:
    return {
        name: dict(zip(("psnr", "ssim", "ie"), map(float, values.split()), strict=False))
        for name, values in (("A", a), ("B", b), ("C", c), ("mouse", mouse))
    }


def _use(a: str, b: str, c: str) -> Figures:
    return {
        name: dict(zip(("dice", "f1"), map(float, values.split()), strict=True))
        for name, values in (("A", a), ("B", b), ("C", c))
    }


SSAN = _fidelity("18.26 .4374", "16.79 .3712", "16.46 .3575 28.38", "15.04 .2156 34.81")

#: Feature extractors.
TABLE_1 = {
    "U-Net": _fidelity("18.10 .4295", "16.75 .3549", "16.26 .3542 28.82", "14.59 .2219 36.55"),
    "SU-Net": _fidelity("18.12 .4352", "16.71 .3417", "16.18 .3280 29.71", "14.75 .2089 35.99"),
    "RDN": _fidelity("17.73 .4448", "16.59 .3521", "16.44 .3451 28.75", "14.85 .2195 35.53"),
    "SRDN": SSAN,
}

#: Synthesis layers; dense self-attention (SA) did not fit into the authors' GPU.
TABLE_3 = {
    "KEL": _fidelity("17.59 .4354", "15.88 .3415", "16.08 .3506 30.82", "13.46 .1867 42.62"),
    "SSA": _fidelity("18.12 .4292", "16.41 .3425", "16.33 .3357 28.91", "14.86 .2261 35.41"),
    "AAL": SSAN,
}

#: Whole methods.
TABLE_4 = {
    "SepConv-L_s": _fidelity(
        "17.52 .4095", "16.32 .3522", "16.07 .3454 29.82", "12.56 .1573 48.03"
    ),
    "DAIN-L_s": _fidelity("16.78 .4264", "15.67 .3460", "15.24 .3210 33.59", "13.06 .1973 44.26"),
    "SSAN-L_s": SSAN,
}

#: Membranes found in what they synthesize.
TABLE_5 = {
    "SepConv-L_s": _use(".547 .546", ".425 .426", ".458 .458"),
    "DAIN-L_s": _use(".560 .563", ".340 .342", ".384 .388"),
    "SSAN-L_s": _use(".602 .602", ".435 .435", ".465 .467"),
}

from __future__ import annotations

from pathlib import Path

from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import ModelInfo
from napari_ssan.network.model_library import list_models


def told(**card) -> list[str]:
    return card_text(ModelInfo("mine", Path("mine.safetensors"), {}, card, "abc")).splitlines()


def test_a_card_is_told_in_lines():
    lines = told(
        summary="Sharp and quick.",
        tile=128,
        terms="CC0",
        base=None,
        verdict="better than the base model",
        metrics={"psnr": 15.123456, "base": {"psnr": 14, "ssim": 0.25}, "better": True},
        trained_on=["a.tif", "b.tif", "a.tif"],
        training=[{"minutes": 5, "loss": {"preset": "L_1"}}, {"minutes": 10.0}],
        curve=[[{"step": 1}], [{"step": 2}, {"step": 3, "gammas": [0.5, -0.5]}]],
        validated_on=[],
        validation={"sections": [["a.tif", 3], ["a.tif", 4]]},
        made_in="Basel",
    )
    assert lines == [
        "mine",
        "",
        "Sharp and quick.",
        "",
        "- Terms: CC0",
        "- Verdict: better than the base model",
        "- Metrics: psnr 15.12, base (psnr 14, ssim 0.25), better yes",
        "- Trained on: 2 × a.tif, b.tif",
        "- Tile (pixels): 128",
        "- Training: minutes 5, loss (preset L_1); then minutes 10",
        "- Curve ends at: step 3, gammas (0.5, -0.5)",
        "- Validation: sections (a.tif 3, a.tif 4)",
        "- Made in: Basel",
        "- SHA-256: abc",
    ]


def test_a_bare_card_is_told_too():
    assert told(tile=64) == ["mine", "", "- Tile (pixels): 64", "- SHA-256: abc"]


def test_the_bundled_models_name_their_terms_and_data():
    for info in list_models():
        text = card_text(info)
        assert "- Terms: CC BY-NC-SA 3.0" in text
        assert "- Trained on: 2 × vnc_stack2_raw.tif" in text

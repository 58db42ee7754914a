from __future__ import annotations

from typing import get_args

import pytest

from napari_ssan.cli.options import LossName, MethodName
from napari_ssan.engine.methods import METHODS
from napari_ssan.losses.config import LossConfig


def test_choices_are_those_of_the_core():
    assert get_args(MethodName) == METHODS
    assert get_args(LossName) == get_args(LossConfig.model_fields["preset"].annotation)


@pytest.mark.parametrize(
    ("command", "choices"),
    [("repair", get_args(MethodName)), ("train", get_args(LossName)), ("triplets", ("mean",))],
)
def test_help_lists_choices(run, command, choices, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told = run(command, "--help").out
    assert all(choice in told for choice in choices)

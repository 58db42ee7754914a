from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import napari_ssan
from napari_ssan.json_text import dump_as_read, dump_json, finite


def test_what_is_not_finite_becomes_null():
    value = {"a": [1, math.nan, (2.5, -math.inf)], "b": {"c": math.inf, "d": "NaN"}}
    assert json.loads(dump_json(value)) == {
        "a": [1, None, [2.5, None]],
        "b": {"c": None, "d": "NaN"},
    }
    assert finite(1.5) == 1.5


def test_what_others_have_written_stays_as_it_was():
    text = '{"fill": NaN, "most": Infinity}'
    assert dump_as_read(json.loads(text)) == text


def test_options_are_those_of_json():
    assert (
        dump_json({"b": 1, "a": math.nan}, sort_keys=True, indent=1) == '{\n "a": null,\n "b": 1\n}'
    )
    assert dump_json([Path("a")], default=str) == '["a"]'


def test_what_is_no_data_is_an_error():
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(RecursionError):
        dump_json(circle)
    with pytest.raises(TypeError):
        dump_json(object())


def test_nothing_else_writes_json():
    """Checksums of model files are the exception: older ones were made with ``NaN``."""
    package = Path(napari_ssan.__file__).parent
    users = {
        path.relative_to(package).as_posix(): text.count("json.dumps(")
        for path in package.rglob("*.py")
        if "json.dumps(" in (text := path.read_text(encoding="utf-8"))
    }
    assert users.keys() == {"json_text.py", "network/model_file.py"}
    assert users["network/model_file.py"] == 1

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
import requests
from imageio.v3 import imwrite

from napari_ssan.errors import BadInput
from napari_ssan.plugin import sample_data


def test_the_generated_sample_is_a_layer_with_a_voxel_size():
    ((data, parameters, kind),) = sample_data.synthetic_layers()
    assert kind == "image"
    assert data.dtype == np.uint8
    assert parameters["scale"] == (50.0, 8.0, 8.0)
    assert parameters["units"] == ("nm",) * 3


def test_without_a_network_the_real_sample_says_so(tmp_path, monkeypatch):
    def offline(*args: object, **options: object) -> None:
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", offline)
    with pytest.raises(BadInput, match="generated sample"):
        sample_data.fetch_kasthuri(tmp_path)


def test_a_file_that_was_altered_is_not_taken(tmp_path, monkeypatch):
    class Answer:
        headers = MappingProxyType({})

        def raise_for_status(self) -> None: ...

        def iter_content(self, chunk_size: int):
            yield b"not the picture"

    monkeypatch.setattr(requests, "get", lambda *args, **options: Answer())
    with pytest.raises(BadInput):
        sample_data.fetch_kasthuri(tmp_path)


def test_kept_files_are_not_fetched_again(data_folder, tmp_path, monkeypatch):
    import tifffile

    stack = tifffile.imread(data_folder / "data" / "kasthuri_z000-097.tif")[54:67]
    digests = {}
    import hashlib

    for name, section in zip(sample_data.KASTHURI_FILES, stack, strict=True):
        imwrite(tmp_path / name, section)
        digests[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    monkeypatch.setattr(sample_data, "KASTHURI_FILES", digests)
    monkeypatch.setattr(requests, "get", None)
    fetched = sample_data.fetch_kasthuri(tmp_path)
    np.testing.assert_array_equal(fetched, stack)
    # The contamination darkens the section that is said to be dirty.
    dirty = fetched[sample_data.KASTHURI_DIRTY, 10:45, 280:340].mean()
    assert dirty < fetched[[5, 7], 10:45, 280:340].mean() - 30

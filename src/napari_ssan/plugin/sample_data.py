"""Sample stacks for napari: one is generated, a real one is downloaded on first use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput

LayerData = tuple[Any, dict[str, Any], str]

#: A contaminated section of mouse neocortex and its neighbours: 8-bit, 479 x 722 (Kasthuri et
#: al. 2015, ATUM-SEM, as published in Connectomics-Classes/hackwicket-silverbacks).
KASTHURI_ADDRESS = (
    "https://raw.githubusercontent.com/Connectomics-Classes/hackwicket-silverbacks/"
    "a248ca054821a1ae9fd0faa957485d19cd708b2e/bestdata/"
)
KASTHURI_FILES = {
    "mito_data_000055.png": "80d51c75f644f8375af0b66bca90cb8dc67d075f3b7a08a4af18feded7fc3b6f",
    "mito_data_000056.png": "b05997ca8f68a8d77187b55905b9ea43d2c4497af0b639b9e869a8eb577f2296",
    "mito_data_000057.png": "3cc06e15fb2cfac02ab5b0a0dfbec21064510913da128172cc6c1514701a877f",
    "mito_data_000058.png": "48a00855e36ef0e54f3da010316dc4c2f7238068b249218184895e5820780d1c",
    "mito_data_000059.png": "74f86525651c5375f1a1156f64ceaa1f172680cb8e3a15904e1e1549fcfbad92",
    "mito_data_000060.png": "40802ea70c5fee0c4e59b4469aa0d2be8a0246981fffd2af4db4a8ad0352f4aa",
    "mito_data_000061.png": "0fa90dd4cb0f33d687a50bffda40dcbdf6376d6854fcc0f6504ac97d7c258003",
    "mito_data_000062.png": "e74179d8fd21dae15cdbf1415aff4e1b12df41242562729ff5eebbc73193078a",
    "mito_data_000063.png": "4749e8838b73dcc97f64d728a4efe9e89089974c4eff6d34e7180d105e4ce3cc",
    "mito_data_000064.png": "0cc986c9aa0efe16a37a2705cdf7653f1cc3d061e763a452312479074fc56c87",
    "mito_data_000065.png": "4ad3e358b40698b4c9f52c3e1bffd95f466848c8dedd3552a36fde636a5cab75",
    "mito_data_000066.png": "3f8e59592e80bf6363abd0bc9a2651330afd65115227aa85ef24d1556e276cc9",
    "mito_data_000067.png": "36e96d0ab01fd639c238c010e1576f945f93f52c48ddcb715183449ba68787b1",
}
#: Index of the contaminated section in the downloaded stack.
KASTHURI_DIRTY = 6
#: Voxel size in nm (z, y, x): resolution level 3 of the published volume.
KASTHURI_SCALE = (30.0, 24.0, 24.0)


def synthetic_layers() -> list[LayerData]:
    """Return the generated sample: 20 sections, of which one is blank, one smeared, one dirty."""
    from napari_ssan.stack.phantom import phantom

    sample = phantom()
    return [_layer(sample.broken, "synthetic EM", sample.scale)]


def kasthuri_layers() -> list[LayerData]:
    """Return the real sample, downloaded on first use (3.9 MB).

    Raises
    ------
    BadInput
        If it cannot be downloaded.
    """
    return [_layer(fetch_kasthuri(), "mouse cortex (Kasthuri 2015)", KASTHURI_SCALE)]


def fetch_kasthuri(folder: Path | None = None) -> npt.NDArray[np.uint8]:
    """Read the real sample, downloading it if needed: (13, 479, 722); section 6 is contaminated.

    Parameters
    ----------
    folder : Path, optional
        Folder for downloaded files; default is the user's cache.

    Raises
    ------
    BadInput
        If the files are not there and cannot be downloaded.
    """
    import pooch
    from imageio.v3 import imread

    registry = pooch.create(
        path=folder or pooch.os_cache("napari-ssan"),
        base_url=KASTHURI_ADDRESS,
        registry={name: f"sha256:{digest}" for name, digest in KASTHURI_FILES.items()},
        retry_if_failed=1,
    )
    try:
        paths = [registry.fetch(name) for name in KASTHURI_FILES]
    except (OSError, ValueError) as error:  # ValueError: the hash is wrong
        raise BadInput(
            "The real sample (3.9 MB from GitHub) could not be downloaded "
            f"({type(error).__name__}): check the network, or open the generated sample instead."
        ) from error
    return np.stack([imread(path) for path in paths])


def _layer(data: npt.NDArray[np.uint8], name: str, scale: tuple[float, float, float]) -> LayerData:
    parameters = {
        "name": name,
        "scale": scale,
        "units": ("nm", "nm", "nm"),
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": (0, 255),
    }
    return data, parameters, "image"

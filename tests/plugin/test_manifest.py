from __future__ import annotations

import subprocess
import sys

from napari._app_model.constants import MenuId
from npe2 import PluginManifest


def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-ssan")


def test_manifest_is_valid_and_everything_it_names_is_there():
    found = manifest()
    found.validate_imports()
    assert found.display_name == "napari-ssan"
    commands = {command.id for command in found.contributions.commands}
    for kind in ("widgets", "readers", "writers", "sample_data"):
        assert {each.command for each in getattr(found.contributions, kind)} <= commands


def test_npe2_validate_passes():
    """With --imports, so that a command that names nothing fails, too."""
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "--imports", "napari-ssan"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid!" in done.stdout


def test_it_says_what_it_is():
    assert {"Image Processing"} <= {str(category) for category in manifest().categories}


def test_menus_are_open_to_contributions():
    assert set(manifest().contributions.menus) <= {str(each) for each in MenuId.contributables()}


def test_every_output_has_a_writer():
    extensions = {e for w in manifest().contributions.writers for e in w.filename_extensions}
    assert {".ome.tif", ".ome.zarr", ".zarr", ".tif"} <= extensions

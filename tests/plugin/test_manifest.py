from __future__ import annotations

from napari._app_model.constants import MenuId
from npe2 import PluginManifest


def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-ssan")


def test_manifest_is_valid_and_everything_it_names_is_there():
    found = manifest()
    found.validate_imports()
    assert found.display_name == "SSAN slice repair"
    commands = {command.id for command in found.contributions.commands}
    for kind in ("widgets", "readers", "writers", "sample_data"):
        assert {each.command for each in getattr(found.contributions, kind)} <= commands


def test_menus_are_open_to_contributions():
    assert set(manifest().contributions.menus) <= {str(each) for each in MenuId.contributables()}


def test_every_output_has_a_writer():
    extensions = {e for w in manifest().contributions.writers for e in w.filename_extensions}
    assert {".ome.tif", ".ome.zarr", ".zarr", ".tif"} <= extensions

"""What reaches a machine that installs a wheel."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.version import Version

import napari_ssan

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        from hatchling.build import build_wheel

        return zipfile.ZipFile(folder / build_wheel(str(folder)))


def test_weights_and_their_terms_are_in_it(wheel):
    names = set(wheel.namelist())
    assert "napari_ssan/models/ssan-fidelity.safetensors" in names
    assert "napari_ssan/napari.yaml" in names
    assert any(name.endswith("LICENSE-WEIGHTS.md") for name in names)


def test_metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = message_from_bytes(wheel.read(name))
    assert "Framework :: napari" in metadata.get_all("Classifier")
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-NC-SA-3.0"
    base = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in base}
    assert not names & {"napari", "pyqt5", "pyqt6", "pyside2", "pyside6"}
    assert not [line for line in base if re.search(r"<|==|~=", line)], "lower bounds only"
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", metadata.get_payload())
    assert pictures
    assert all(link.startswith("https://") for link in pictures)


def test_the_version_is_that_of_the_tag_or_a_sane_one(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    version = Version(message_from_bytes(wheel.read(name))["Version"])
    assert version >= Version("0.1.0")
    assert version.local is None, "a package index refuses local versions"
    assert napari_ssan.__version__ == importlib.metadata.version("napari-ssan")


def test_a_copy_without_git_can_be_built(tmp_path):
    """As from a downloaded archive; the version is then the one in pyproject.toml."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "models/LICENSE-WEIGHTS.md",
                 "src/napari_ssan/__init__.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    code = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.split()[-1] == "napari_ssan-0.1.0-py3-none-any.whl"


def test_urls(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    urls = message_from_bytes(wheel.read(name)).get_all("Project-URL")
    assert {url.split(",")[0] for url in urls} == {"Homepage", "Documentation", "Source", "Issues"}


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md",
             *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")),
             *sorted(f"models/{p.name}" for p in (ROOT / "models").glob("*.md"))],
)  # fmt: skip
def test_every_link_and_picture_is_there(page):
    folder, text = (ROOT / page).parent, (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#([^)]+))?\)", text)
    assert [link for link, _ in links if not (folder / link).is_file()] == []
    for link, place in links:
        if place and not link.endswith("reference/commands.md"):  # written for the site only
            headings = re.findall(r"^#+ (.+)$", (folder / link).read_text(encoding="utf-8"), re.M)
            assert place in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}

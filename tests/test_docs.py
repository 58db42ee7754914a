"""The documentation says what is so: its commands, its Python, and the files that it names."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

from napari_ssan.cli import COMMANDS, UsageError, app
from napari_ssan.training.config import TrainingConfig

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "models").glob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: What they name that is elsewhere: a folder of the user's, a workflow, parts of widgets/.
NOT_FILES = ("data/", "publish.yml", "repair/", "fine_tune/")
#: Pages that say where in the code something is.
MAPS = ("CONTRIBUTING.md", "docs/how-it-works/architecture.md")


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page, without the indentation of a list that they stand in."""
    fence = rf"^( *)```(?:{'|'.join(languages)})\n(.*?)^\1```"
    found = re.findall(fence, page.read_text(encoding="utf-8"), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def commands(page: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Words of the ``napari-ssan`` commands of a page: those in blocks, those in sentences."""
    lines = [
        line
        for block in blocks(page, "sh", "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    said = [code.replace("\n", " ") for code in re.findall(r"`(napari-ssan [^`]+)`", text)]
    return tuple(  # type: ignore[return-value]
        [
            [word for word in words[1:] if word != "…"]
            for words in (shlex.split(line.split(" > ")[0], comments=True) for line in some)
            if words[:1] == ["napari-ssan"]
        ]
        for some in (lines, said)
    )


def parse(words: list[str]) -> None:
    """Parse a command as the command line does, without running it."""
    command, name = typer.main.get_command(app), "napari-ssan"
    # Variables of a shell stand for words that this test cannot know: paths, and $VAL for options.
    words = [word for word in words if word != "$VAL"]
    context = None
    while True:
        if not hasattr(command, "resolve_command"):
            command.make_context(name, list(words), parent=context)
            return
        context = command.make_context(name, list(words), parent=context)
        left = [*getattr(context, "protected_args", context._protected_args), *context.args]
        name, command, words = command.resolve_command(context, left)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_can_be_parsed(page):
    whole, said = commands(page)
    for words in [*whole, *said]:
        try:
            parse(words)
        except typer.Exit:  # --help
            continue
        except UsageError as error:
            # A sentence may name a command without saying to what it is applied.
            if words in said and type(error).__name__ == "MissingParameter":
                continue
            pytest.fail(f"napari-ssan {shlex.join(words)}: {error}")


def test_a_wrong_option_is_noticed():
    with pytest.raises(UsageError):
        parse(["repair", "in.tif", "out.tif", "--no-such-option", "1"])
    with pytest.raises(UsageError):
        parse(["models", "burn", "mine", "mine.zip"])


def test_there_are_commands_to_parse():
    assert sum(len(commands(page)[0]) for page in PAGES) > 40


def test_the_python_of_the_docs_runs(tmp_path, monkeypatch):
    """One page after the other, block by block, on a small stack."""
    monkeypatch.chdir(tmp_path)
    stack = np.random.default_rng(0).integers(0, 255, (20, 96, 96), np.uint8)
    names: dict[str, object] = {"stack": stack}
    code = blocks(ROOT / "docs/how-to/python.md", "python")
    assert len(code) >= 5
    for block in code:
        exec(compile(block, "docs/how-to/python.md", "exec"), names)
    assert (tmp_path / "repaired.tif").is_file()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_settings_of_a_training_run_are_known(page):
    """Every TOML on a page is a configuration file of ``train``."""
    for text in blocks(page, "toml"):
        settings = tomllib.loads(text)
        for key in ("segmenter", "summary", "terms"):  # of the command, not of the training
            settings.pop(key, None)
        TrainingConfig(**{"steps": 1, **settings})


def test_the_marks_of_the_docs_are_read(tmp_path):
    from napari_ssan import Marks

    page = ROOT / "docs/how-to/marks.md"
    tables = blocks(page, "csv")
    assert len(tables) == 2
    whole, shapes = (Marks.from_csv(text, (128, 128)) for text in tables)
    assert whole.whole == {6, 11, 12}
    assert list(shapes.regions) == [16]
    (text,) = blocks(page, "json")
    marks = Marks.from_json(text, (128, 128))
    assert (marks.whole, list(marks.regions), marks.missing) == ({6, 11}, [16], {3: 1})


@pytest.mark.parametrize("page", MAPS)
def test_files_that_a_map_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        path
        for path in re.findall(r"`([\w./-]+(?:/|\.py|\.md|\.sh|\.yaml|\.toml))`", text)
        if not re.search(r"[A-Z]{4}", path.removesuffix(".md")) or path == "CHANGELOG.md"
    }
    assert len(named) > 15
    places = (ROOT, ROOT / "src" / "napari_ssan")
    missing = [
        path
        for path in sorted(named)
        if not any((place / path).exists() for place in places) and path not in NOT_FILES
    ]
    assert missing == []


def test_every_page_is_in_the_navigation():
    yaml = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs").as_posix()) in yaml


def test_the_site_says_of_each_command_a_whole_sentence():
    pytest.importorskip("mkdocs")
    hook = runpy.run_path(str(ROOT / "scripts" / "docs_site.py"))
    reference = hook["command_reference"]()
    told = dict(re.findall(r"^\* `([\w-]+)`: (.*)$", reference, re.M))
    assert {*COMMANDS} < {*told}
    assert not [name for name, said in told.items() if not said.endswith(".")]
    assert not [name for name, said in told.items() if said.endswith("...")]

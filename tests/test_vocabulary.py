"""The code uses the words of docs/how-it-works/vocabulary.md."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import napari_ssan

PACKAGE = Path(napari_ssan.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Words of our own that have made room for those of the field.
GONE = ("bench", "desk", "lane", "corner", "keeper", "tuning")
#: Names that each stand for one class or function.
ONE_MEANING = ("Outlook", "Judging", "Snapshot", "divide", "describe")


def words(name: str) -> list[str]:
    """Words of a name in snake or camel case, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]


def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES]


def test_words_of_a_name():
    assert words("TaskQueue") == ["task", "queue"]
    assert words("_label_corners") == ["label", "corners"]
    assert words("SSANHead") == ["ssan", "head"]


def test_no_class_and_no_module_has_a_word_that_is_gone():
    names = [node.name for _, tree in trees() for node in ast.walk(tree)
             if isinstance(node, ast.ClassDef)]  # fmt: skip
    names += [part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts]
    assert len(names) > 200
    assert [name for name in names if set(words(name)) & set(GONE)] == []


@pytest.mark.parametrize("name", ONE_MEANING)
def test_a_word_has_one_meaning(name):
    defined = Counter(
        node.name
        for _, tree in trees()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )
    assert defined[name] <= 1


def test_it_is_called_expected_error():
    """Only the old option of the command line still says confidence."""
    said = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in MODULES
        for line in path.read_text(encoding="utf-8").splitlines()
        # A confidence interval is another thing, of statistics.
        if re.search(r"confidence(?![ _]interval)", line, re.IGNORECASE)
        and path.relative_to(PACKAGE).parts[0] != "cli"
    ]
    assert said == []

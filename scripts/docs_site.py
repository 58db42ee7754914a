"""Pages of the documentation site that are made, or kept outside of docs/. A hook of mkdocs.

The command-line reference is written from the commands themselves. The model cards,
CONTRIBUTING and CHANGELOG stay where a visitor of the repository looks for them; here they
become pages, and links to and from them are turned so that they work in both places.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File
from typer.cli import get_docs_for_click

from napari_ssan.cli import app

ROOT = Path(__file__).parents[1]
#: Where a page has the reference of the commands.
COMMANDS = "<!-- commands -->"
#: Pages of the repository that are no files of docs/.
ELSEWHERE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"models/{path.name}" for path in sorted((ROOT / "models").glob("*.md"))),
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    for page in ELSEWHERE:
        text = (ROOT / page).read_text(encoding="utf-8")
        # docs/ is the root of the site, so the step into it goes.
        text = re.sub(r"(\]\((?:\.\./)*)docs/", r"\1", text)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write the reference of the commands; lead links that leave docs/ to the pages added here."""
    if page.file.generated_by:
        return markdown
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    up = "../" * page.file.src_uri.count("/")
    return re.sub(
        rf"\]\(\.\./{re.escape(up)}({'|'.join(map(re.escape, ELSEWHERE))})", rf"]({up}\1", markdown
    )


def command_reference() -> str:
    """All commands and options, as their ``--help`` has them."""
    command: Any = typer.main.get_command(app)
    command.commands = dict(command.commands)  # each is made anew when it is asked for
    for one in (*command.commands.values(), *command.commands["models"].commands.values()):
        # Whole sentences, where typer would cut them short.
        one.short_help = (one.help or "").partition("\n")[0]
    context = command.make_context("napari-ssan", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="napari-ssan")
    return text.partition("\n")[2]  # the page has a heading of its own

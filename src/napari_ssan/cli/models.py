"""``napari-ssan models``: list, show, import, export, rename and delete models.

:mod:`napari_ssan.network.model_library` does the work. Bundled models cannot be changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from napari_ssan.cli.options import Json, Overwrite
from napari_ssan.cli.progress import console
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.network import model_library as library
from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import SUFFIX, ModelInfo, read_info
from napari_ssan.paths import printable

models = typer.Typer(
    name="models",
    add_completion=False,
    help="List, show, import, export, rename and delete models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelName = Annotated[str, Argument(metavar="MODEL", help=f"Name of a model, or a {SUFFIX} file.")]
Own = Annotated[str, Argument(metavar="NAME", help="Name of one of your own models.")]


def known() -> list[dict[str, Any]]:
    """Return an entry for each model that can be read, JSON-serializable; print notices."""
    infos = library.list_models(
        lambda text: console.print(printable(f"Note: {text}"), markup=False)
    )
    return [_entry(info) for info in infos]


def _entry(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "bundled": info.bundled,
        "summary": info.card.get("summary", ""),
        "terms": info.card.get("terms", ""),
        "tile": info.card["tile"],
        "sha256": info.sha256,
        "path": str(info.path),
    }


@models.command("list")
def list_(as_json: Json = False) -> None:
    """List the bundled models, the default first, and then your own."""
    entries = known()
    if as_json:
        typer.echo(dump_json(entries))
        return
    table = Table("model", "", "summary", "terms", box=None)
    for entry in entries:
        kind = "bundled" if entry["bundled"] else "own"
        cells = (entry["name"], kind, entry["summary"], entry["terms"])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


@models.command()
def show(model: ModelName) -> None:
    """Show a model's card: how it was trained, its terms and its results."""
    typer.echo(printable(card_text(read_info(model))))


@models.command("import")
def import_(
    path: Annotated[
        Path,
        Argument(
            metavar="FILE", help=f"A {SUFFIX} file, or a bioimage.io package that was made here."
        ),
    ],
    name: Annotated[
        str | None, Option(help="Name of the copy.", show_default="that of FILE")
    ] = None,
) -> None:
    """Add a copy of a model file to your own models."""
    info = library.import_model(path, name)
    console.print(f"Your model {info.name} is stored in {info.path}", markup=False)


@models.command()
def export(
    model: ModelName,
    output: Annotated[
        Path, Argument(metavar="OUTPUT", help=f"A {SUFFIX} file, or a .zip for bioimage.io.")
    ],
    bioimageio: Annotated[
        bool, Option("--bioimageio", help="Write a bioimage.io package.")
    ] = False,
    author: Annotated[
        list[str] | None, Option(help="An author, named in the package; repeat for several.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Copy a model to a file, or pack it for bioimage.io."""
    if author and not bioimageio:
        raise BadInput("--author goes into a bioimage.io package: add --bioimageio.")
    if bioimageio:
        from napari_ssan.export.bioimageio import export_bioimageio

        export_bioimageio(model, output, authors=author or (), overwrite=overwrite)
    else:
        library.export_model(model, output, overwrite)
    console.print(f"Wrote {output}", markup=False)


@models.command()
def rename(name: Own, new: Annotated[str, Argument(metavar="NEW", help="The new name.")]) -> None:
    """Rename one of your own models."""
    console.print(f"{name} is called {library.rename(name, new).name} now", markup=False)


@models.command()
def delete(name: Own) -> None:
    """Delete one of your own models permanently."""
    library.delete(name)
    console.print(f"Deleted {name}", markup=False)

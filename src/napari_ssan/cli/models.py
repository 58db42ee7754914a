"""``napari-ssan models``: the models at hand, and the user's own kept in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from napari_ssan.cli.progress import console
from napari_ssan.errors import BadInput
from napari_ssan.network import model_library as library
from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import SUFFIX, ModelInfo, read_info

models = typer.Typer(
    help="List, show, import, export, rename and delete models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"Name of a model, or a {SUFFIX} file.")
]
Own = Annotated[str, typer.Argument(metavar="NAME", help="Name of one of your own models.")]


def known() -> list[dict[str, Any]]:
    """Entries of all models that can be read, JSON-serializable; notices go to the console."""
    infos = library.list_models(lambda text: console.print(f"Note: {text}", markup=False))
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
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the models that came along, the default first, then your own."""
    entries = known()
    if as_json:
        typer.echo(json.dumps(entries))
        return
    table = Table("model", "", "summary", "terms", box=None)
    for entry in entries:
        kind = "bundled" if entry["bundled"] else "own"
        table.add_row(*map(Text, (entry["name"], kind, entry["summary"], entry["terms"])))
    Console().print(table)


@models.command()
def show(model: Model) -> None:
    """Show what a model's card says."""
    typer.echo(card_text(read_info(model)))


@models.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help=f"A {SUFFIX} file, or a package for bioimage.io from here."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it; default is FILE's name.")] = (
        None
    ),
) -> None:
    """Copy a model file to your own models."""
    info = library.import_model(path, name)
    console.print(f"Your model {info.name} lies at {info.path}", markup=False)


@models.command()
def export(
    model: Model,
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help=f"A {SUFFIX}, or a .zip for bioimage.io.")
    ],
    bioimageio: Annotated[
        bool, typer.Option("--bioimageio", help="Write a package for bioimage.io.")
    ] = False,
    author: Annotated[
        list[str] | None,
        typer.Option(help="Who made the model, for the package; may be given several times."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace OUTPUT if it exists.")] = False,
) -> None:
    """Copy a model to a file, or pack it for bioimage.io."""
    if author and not bioimageio:
        raise BadInput("--author is for a package: add --bioimageio.")
    if bioimageio:
        from napari_ssan.export.bioimageio import export_bioimageio

        export_bioimageio(model, output, authors=author or (), overwrite=overwrite)
    else:
        library.export_model(model, output, overwrite)
    console.print(f"Wrote {output}", markup=False)


@models.command()
def rename(
    name: Own, new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
) -> None:
    """Give one of your own models another name."""
    console.print(f"{name} is called {library.rename(name, new).name} now", markup=False)


@models.command()
def delete(name: Own) -> None:
    """Delete one of your own models, for good."""
    library.delete(name)
    console.print(f"Deleted {name}", markup=False)

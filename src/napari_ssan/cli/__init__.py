"""The command ``napari-ssan``: the same road without a screen."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from napari_ssan.cli.demo import demo
from napari_ssan.cli.evaluate import evaluate
from napari_ssan.cli.fine_tune import fine_tune
from napari_ssan.cli.info import info
from napari_ssan.cli.models import models
from napari_ssan.cli.repair import repair
from napari_ssan.cli.train import train
from napari_ssan.cli.triplets import triplets
from napari_ssan.errors import BadInput

app = typer.Typer(
    help="Repair lost and damaged sections of serial-section electron microscopy stacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: What typer raises for a wrong option or argument; recent versions carry a click of their own.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Exit code after Ctrl-C; recent versions of typer turn the interrupt into it.
INTERRUPTED = 130

for command in (repair, evaluate, demo, train, fine_tune, triplets, info):
    app.command()(command)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command line: exit code 0, 2 for bad input, 130 on Ctrl-C."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except BadInput as error:
        _refuse(str(error))
    except UsageError as error:
        # Asked for nothing, typer has shown its help and says no more.
        if message := getattr(error, "format_message", error.__str__)():
            _refuse(message)
        sys.exit(2)
    except OSError as error:  # a full disk, a file that is gone: what the system says is the reason
        where = f" ({error.filename})" if error.filename else ""
        _refuse(f"{error.strerror or error}{where}.")
    except (KeyboardInterrupt, typer.Abort):
        Console(stderr=True).print("Stopped.")
        sys.exit(INTERRUPTED)


def _refuse(sentence: str) -> None:
    """One line on standard error, and exit code 2."""
    print(f"napari-ssan: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(2)

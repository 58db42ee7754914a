"""The command ``napari-ssan``: everything that the plugin does, without a screen.

Each command is a module: it turns options into plain data, calls the core, and prints what the
core reports. Here they are put together, and errors become one sentence and an exit code. Easy to
get wrong: a command imports torch within its function, since ``--help`` must not wait for it.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from napari_ssan.cli.demo import demo
from napari_ssan.cli.evaluate import evaluate
from napari_ssan.cli.fine_tune import fine_tune
from napari_ssan.cli.info import info
from napari_ssan.cli.inspect import inspect
from napari_ssan.cli.models import models
from napari_ssan.cli.repair import repair
from napari_ssan.cli.train import TrainCommand, train
from napari_ssan.cli.triplets import triplets
from napari_ssan.errors import BadInput
from napari_ssan.paths import printable

app = typer.Typer(
    help="Repair lost and damaged slices of serial-section electron microscopy stacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: What typer raises for a wrong option or argument. Recent versions have their own copy of click.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Exit code after Ctrl-C. Recent versions of typer return it instead of raising.
INTERRUPTED = 130

for command in (repair, inspect, evaluate, demo, train, fine_tune, triplets, info):
    app.command(cls=TrainCommand if command is train else None)(command)
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
        # Without a command, typer has shown the help and gives no message.
        if message := getattr(error, "format_message", error.__str__)():
            _refuse(message.replace("Value error, ", ""))
        sys.exit(2)
    except OSError as error:  # a full disk, a missing file: the system's own words are clear
        where = f" ({error.filename})" if error.filename else ""
        _refuse(f"{error.strerror or error}{where}.")
    except MemoryError:
        _refuse("There is not enough memory for this; end other programs, or use another machine.")
    except (KeyboardInterrupt, typer.Abort):
        Console(stderr=True).print("Stopped.")
        sys.exit(INTERRUPTED)


def _refuse(sentence: str) -> None:
    """One line on standard error, and exit code 2."""
    sentence = printable(" ".join(sentence.split()))
    print(f"napari-ssan: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(2)

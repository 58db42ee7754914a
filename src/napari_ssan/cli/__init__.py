"""The command ``napari-ssan``: everything that the plugin does, without a screen.

Each command is a module: it turns options into plain data, calls the core, and prints what the
core reports. Here they are put together, and errors become one sentence and an exit code. Easy to
get wrong: a module is imported when its command is asked for, and imports torch within its
function, so that no command waits for what another needs, and ``--help`` for nothing.
"""

from __future__ import annotations

import atexit
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from napari_ssan.cli.signals import Received, handled
from napari_ssan.errors import BadInput, memory_in_words
from napari_ssan.paths import printable
from napari_ssan.version import __version__

#: The commands, in the order of the help, and what that says of each: the first sentence of its
#: own help. Each stands in a module of its name, as a function or an app of that name; a class
#: `Command` there is what typer makes of the function.
COMMANDS = {
    "repair": "Repair a stack: synthesize its broken slices or regions from their neighbours.",
    "restore": (
        "Undo a repair in place: bring the original chunks and metadata back, byte for byte."
    ),
    "renumber": "Give labels the slice numbers of a stack in which slices were inserted.",
    "inspect": "Find broken slices and regions, the most certain first, and say why.",
    "status": (
        "Show which pixels of a stack are synthetic, and finish what a killed run left half-done."
    ),
    "evaluate": (
        "Measure how well a stack is repaired: hide good slices, synthesize them, and compare."
    ),
    "demo": "Repair a generated stack with a blank, a smeared and a dirty slice.",
    "train": "Train a model on stacks, and keep the version that is best on held-out slices.",
    "fine-tune": (
        "Fine-tune a model on one stack, and compare it with the original on held-out slices."
    ),
    "triplets": "Cut a stack into aligned triplets for training, as PNG.",
    "info": "Show installed versions, devices and models.",
    "models": "List, show, import, export, rename and delete models.",
}


class Modules(Mapping[str, Any]):
    """The commands by name; the module of one is imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        spelled = name.replace("-", "_")
        module = import_module(f"{__name__}.{spelled}")
        command = alone = getattr(module, spelled)
        if not isinstance(command, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name, cls=getattr(module, "Command", None))(command)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """A group of the commands above."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Modules()})

    def format_help(self, *given: Any) -> None:
        """Show the help: it names the commands, so none of them is imported for it."""
        self.commands = {name: TyperCommand(name, help=said) for name, said in COMMANDS.items()}
        super().format_help(*given)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"napari-ssan {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take what stands before a command."""


app = typer.Typer(
    cls=Commands,
    callback=_options,
    help="Repair lost and damaged slices of serial-section electron microscopy stacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: What typer raises for a wrong option or argument. Recent versions have their own copy of click.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Exit code after a signal. Recent versions of typer return it instead of raising.
INTERRUPTED = 130


def main() -> None:
    """Run the command line: exit code 0, 2 for bad input, 128 and its number after a signal."""
    with handled() as received:
        try:
            with memory_in_words():
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
            if received.number:  # after SIGHUP, there is no terminal to write to
                _stop(received)
            where = f" ({error.filename})" if error.filename else ""
            _refuse(f"{error.strerror or error}{where}.")
        except (KeyboardInterrupt, typer.Abort):
            _stop(received)


def _stop(received: Received) -> None:
    """One line on standard error, if somebody reads it, and the exit code of a signal."""
    with suppress(OSError):
        print(received, file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(received.code)


def _refuse(sentence: str) -> None:
    """One line on standard error, and exit code 2."""
    atexit.register(_say_no_more)
    sentence = printable(" ".join(sentence.split()))
    print(f"napari-ssan: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


def _say_no_more() -> None:
    """Silence what ends with the program: zarr reads chunks at once, and may still be at some."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore", RuntimeWarning)
    sys.unraisablehook = lambda _: None

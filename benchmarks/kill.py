"""What signals at random moments do: nothing may be corrupt, and all must go on.

``python benchmarks/kill.py fine-tune --json`` does a run on a generated stack without a break, and
then others, whose process is killed ten times, each at a random moment: at one of the
events that the first run told, and up to two seconds later. After each kill every model
and checkpoint in the run's folder is read and compared with its checksum, and the next
process must go on from it; in the end both runs must have come to the same model, to the
last bit.

``python benchmarks/kill.py repair --times 200`` has repairs of a generated stack, and triplets,
written in all formats, over older ones or not, with a mask or not. They get SIGKILL, SIGTERM,
SIGHUP or SIGINT, mostly while they write, or are killed between two renames. Then the input must be
as it was, and after the next run, the old output or the new one is whole and nothing is left over.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Timer
from typing import Annotated, Any

import typer
from killing import OUTPUTS, Arena, draw
from rich.console import Console
from rich.table import Table
from safetensors import safe_open

from napari_ssan.finetune.config import FineTuneConfig
from napari_ssan.finetune.division import divide
from napari_ssan.finetune.new_run import new_run
from napari_ssan.finetune.run_folder import CANDIDATE, CHECKPOINT, MODEL
from napari_ssan.finetune.runs import Run
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.finetune.wire import from_line
from napari_ssan.network.model_file import load_model
from napari_ssan.stack.phantom import phantom
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.checkpoint import digest
from napari_ssan.training.events import Checkpointed, StepDone

app = typer.Typer(help=__doc__, add_completion=False)
#: A kill comes up to so many seconds after an event.
LATER = 2.0


@app.command()
def repair(
    times: Annotated[int, typer.Option(help="How often.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill runs that write, in all formats; exit code 1 if that had consequences."""
    begin = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        arena = Arena(work)
        for number in range(times):
            rows.append({"number": number} | arena.attack(draw(number, seed)))
            print(json.dumps(rows[-1]), file=sys.stderr)
    bad = [row for row in rows if row["findings"]]
    seconds = round(time.monotonic() - begin)
    if as_json:
        print(json.dumps({"times": times, "seconds": seconds, "findings": bad, "rows": rows}))
    else:
        show(rows, f"{times} runs that were killed or terminated, in {seconds} s")
    raise typer.Exit(bool(bad))


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print a table of each output and signal."""
    columns = ("output", "signal", "runs", "before", "writing", "too late", "output gone")
    table = Table(*columns, "finished", "then old", "then new", "findings", title=title)
    groups = sorted(
        {(OUTPUTS.index(r["output"]), r["forced"] is not None, r["signal"]) for r in rows}
    )
    for at, forced, name in groups:
        group = [
            r
            for r in rows
            if (r["output"], r["forced"] is not None, r["signal"]) == (OUTPUTS[at], forced, name)
        ]
        phases = Counter(row["phase"] for row in group)
        then = Counter(row["then"] for row in group)
        cells = [len(group), phases["begin"], phases["writing"], phases["end"]]
        cells += [sum(row[key] for row in group) for key in ("was_missing", "finished")]
        cells += [then["old"], then["new"], sum(bool(row["findings"]) for row in group)]
        table.add_row(OUTPUTS[at], f"{name}{' at a rename' * forced}", *map(str, cells))
    Console(width=130).print(table)


@app.command()
def fine_tune(
    kills: Annotated[int, typer.Option(help="How often.")] = 10,
    steps: Annotated[int, typer.Option(help="Of training in all.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill a fine-tuning again and again."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        whole = begin(Path(folder) / "whole", steps)
        first = work(whole, None, 0.0)
        run = begin(Path(folder) / "killed", steps)
        while sum(row["killed"] for row in rows) < kills:
            if rows and rows[-1]["verdict"]:  # it was faster than the kill
                run = begin(Path(folder) / f"killed {len(rows)}", steps)
            row = work(run, draw.randrange(first["events"]), draw.uniform(0, LATER))
            rows.append(row | {"corrupt": corrupt(run)})
            print(rows[-1], file=sys.stderr)
        work(run, None, 0.0)
        result = {
            "kills": kills,
            "seconds_of_a_run": first["seconds"],
            "corrupt": sum(len(row["corrupt"]) for row in rows),
            "longest_loss_seconds": max(row["seconds_lost"] for row in rows),
            "same_model": run.verdict == whole.verdict and same(run.model, whole.model),
            "verdict": run.verdict.text if run.verdict else "",
            "rows": rows,
        }
    if as_json:
        print(json.dumps(result))
        return
    title = f"{kills} kills; a run without a break takes {first['seconds']:.0f} s"
    table = Table("after s", "began at step", "came to step", "s lost", "corrupt", title=title)
    for row in rows:
        cells = (row["seconds"], row["first_step"], row["last_step"], row["seconds_lost"])
        table.add_row(*map(str, cells), ", ".join(row["corrupt"]) or "none")
    Console().print(table)
    same_model = "the same model as" if result["same_model"] else "ANOTHER MODEL than"
    Console().print(f"In the end {same_model} without a break: {result['verdict']}", markup=False)


def begin(folder: Path, steps: int) -> Run:
    """A new run on a generated stack."""
    sample = phantom((20, 256, 256))
    source = Source(SliceStack(sample.broken), marks=sample.marks)
    config = FineTuneConfig(steps=steps, minutes=1.0, device="cpu")
    return new_run(divide(source, config), config, "sample", folder=folder)


def work(run: Run, event: int | None, later: float) -> dict[str, Any]:
    """Let a process work on a run, and tell how far it came.

    Parameters
    ----------
    run : Run
        The run.
    event : int or None
        Which of its events is its end, None for none of them.
    later : float
        Seconds after it.

    Raises
    ------
    RuntimeError
        If it ended by itself without a verdict.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_ssan.finetune.child", str(run.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    timer = Timer(later, process.kill)
    events = 0
    steps: list[int] = []
    verdict = ""
    started, begun, kept = time.monotonic(), None, None
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith("\n"):
            break
        if events == event:
            timer.start()
        events += 1
        said = from_line(line)
        if isinstance(said, StepDone):
            steps.append(said.step)
            begun = begun or time.monotonic()
        elif isinstance(said, Checkpointed):
            kept = time.monotonic()
        elif isinstance(said, Verdict):
            verdict = said.text
    ended = time.monotonic()
    code = process.wait()
    timer.cancel()
    if not verdict and code >= 0:
        raise RuntimeError(f"the run ended with exit code {code} and without a verdict")
    since = kept or begun
    return {
        "events": events,
        "seconds": round(ended - started, 1),
        "killed": code < 0,
        "first_step": steps[0] if steps else None,
        "last_step": steps[-1] if steps else None,
        "seconds_lost": round(ended - since, 1) if since and code < 0 else 0.0,
        "verdict": verdict,
    }


def same(one: Path, other: Path) -> bool:
    """Whether two models have the same weights."""
    first, second = (load_model(path).network.state_dict() for path in (one, other))
    return all(bool((first[key] == second[key]).all()) for key in first)


def corrupt(run: Run) -> list[str]:
    """Files of a run that cannot be read, or do not match their checksum."""
    bad = []
    for name in (CANDIDATE, MODEL):
        path = run.folder / name
        if path.exists():
            try:
                load_model(path)
            except ValueError:
                bad.append(name)
    path = run.folder / CHECKPOINT
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                known = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            text = {key: known[key] for key in ("facts", "identity")}
            if digest(text, tensors) != known["sha256"]:
                bad.append(CHECKPOINT)
        except Exception:  # noqa: BLE001 - whatever it is, the file cannot be read
            bad.append(CHECKPOINT)
    return bad


if __name__ == "__main__":
    app()

"""An attack on all that reads files: thousands of damaged ones, and how the program ends on each.

``python benchmarks/fuzz.py --files 4000 --json out.json`` damages small valid files of every
kind, has the program work on each in a child process, and counts how that ends: done,
refused in one sentence with exit code 2, or one of the findings: a traceback, a hang, too
much memory, a crash, an output from damaged input without a word, files that are left over.
``python benchmarks/fuzz.py --case tiff:17`` does one of them again and shows all of it.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing as mp
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from fuzzing.cases import Case, Outcome, attempt, make_case
from fuzzing.templates import TEMPLATES, write_all
from rich.console import Console
from rich.table import Table

GOOD = ("done", "refused")
MIB = 2**20


def main(
    files: Annotated[int, typer.Option(help="How many in all, of every kind alike.")] = 4000,
    seed: Annotated[int, typer.Option(help="The first; file n of a kind has seed + n.")] = 0,
    seconds_a_file: Annotated[float, typer.Option(help="Longer is a hang.")] = 20.0,
    memory: Annotated[int, typer.Option(help="MiB above what the imports take.")] = 1024,
    jobs: Annotated[int, typer.Option(help="Processes at once.")] = 2,
    kinds: Annotated[str, typer.Option(help="Only kinds that begin so, as in tiff,zarr.")] = "",
    case: Annotated[str, typer.Option(help="Do one again: KIND:SEED.")] = "",
    as_json: Annotated[Path | None, typer.Option("--json", help="Write findings here.")] = None,
) -> None:
    """Attack the program with damaged files."""
    with tempfile.TemporaryDirectory() as folder:
        if case:
            one_again(Path(folder), case)
            return
        wanted = [k for k in TEMPLATES if k.startswith(tuple(kinds.split(",")))]
        names = [f"{k}:{seed + n}" for n in range(-(-files // len(wanted))) for k in wanted]
        write_all(Path(folder) / "templates")
        rows = run_all(Path(folder), names[:files], jobs, seconds_a_file, memory)
    tell(rows)
    if as_json is not None:
        as_json.write_text(json.dumps({"seed": seed, "files": len(rows), "rows": rows}, indent=1))
    raise typer.Exit(any(row["verdict"] not in GOOD for row in rows))


def prepare(name: str, folder: Path, templates: dict[str, Path]) -> Case:
    """Make the case of a name such as ``tiff:17``."""
    kind, _, number = name.partition(":")
    place = folder / name.replace(":", "-")
    place.mkdir()
    return make_case(kind, Random(f"{kind}:{number}"), templates, place)


def one_again(folder: Path, name: str) -> None:
    """Do one case in this process and show all of it."""
    kind = name.partition(":")[0]
    if kind not in TEMPLATES:
        raise typer.BadParameter(f"the kinds are {', '.join(TEMPLATES)}")
    templates = write_all(folder / "templates", list(dict.fromkeys((kind, "tiff"))))
    user_folders(folder)
    case = prepare(name, folder, templates)
    if kind == "models":
        own(case, folder)
    print(f"{case.damage!r}\nnapari-ssan {' '.join(case.arguments)!r}")
    faulthandler.dump_traceback_later(20, exit=True)
    outcome = attempt(case)
    print(f"{outcome.trace}{outcome.verdict}: {outcome.said}")


def user_folders(folder: Path) -> None:
    """Keep what the program keeps of its user within a folder."""
    for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR"):
        (folder / variable).mkdir(exist_ok=True)
        os.environ[variable] = str(folder / variable)
    tempfile.tempdir = None


def own(case: Case, folder: Path) -> None:
    """Have the models of a case be those of the user."""
    place = folder / "XDG_DATA_HOME" / "napari-ssan"
    place.mkdir(exist_ok=True)
    shutil.rmtree(place / "models", ignore_errors=True)
    case.path.rename(place / "models")


def work(pipe: Connection, folder: Path, seconds: float, memory: int) -> None:
    """Do case after case, in a process of its own."""
    import torch

    import napari_ssan.cli
    import napari_ssan.engine.repair
    import napari_ssan.export.bioimageio  # noqa: F401

    torch.set_num_threads(1)
    base = folder / f"worker-{os.getpid()}"
    base.mkdir()
    user_folders(base)
    templates = {k: next((folder / "templates" / k).glob("in*")) for k in TEMPLATES}
    # all is imported and set up after this one
    (base / "first").mkdir()
    attempt(make_case("tiff", Random(0), templates, base / "first"))
    log = (base / "stack").open("w+")
    number = 0
    pipe.send(str(base))
    while (name := pipe.recv()) is not None:
        number += 1
        place = base / str(number)
        place.mkdir()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        case = prepare(name, place, templates)
        if case.kind == "models":
            own(case, base)
        Path("/proc/self/clear_refs").write_text("5")
        began, held = time.monotonic(), status("VmRSS")
        # room for what is mapped and not touched; what is touched is measured
        most = (status("VmSize") + memory + 512) * MIB
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        log.seek(0)
        log.truncate()
        faulthandler.dump_traceback_later(seconds * 0.9, file=log)
        outcome = attempt(case)
        faulthandler.cancel_dump_traceback_later()
        took, peak = time.monotonic() - began, status("VmHWM") - held
        if outcome.verdict in GOOD and peak > memory:
            outcome = Outcome("memory", f"{peak} MiB; {outcome.said}", case.kind)
        left = [p for v in ("TMPDIR", "XDG_DATA_HOME") for p in (base / v).rglob("*.part")]
        if outcome.verdict in GOOD and (left or any((base / "TMPDIR").iterdir())):
            outcome = Outcome("leftovers", str([p.name for p in left]), case.kind)
        shutil.rmtree(base / "XDG_DATA_HOME" / "napari-ssan", ignore_errors=True)
        pipe.send(
            outcome.as_dict() | {"damage": case.damage, "seconds": round(took, 2), "peak_mib": peak}
        )
        shutil.rmtree(place, ignore_errors=True)


def status(key: str) -> int:
    """A figure of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) // 1024
    raise KeyError(key)


class Worker:
    """A child process, and the case that it has in hand."""

    def __init__(self, folder: Path, seconds: float, memory: int) -> None:
        context = mp.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, folder, seconds, memory))
        self.process.start()
        other.close()
        self.base = Path(self.pipe.recv())
        self.name, self.since = "", 0.0

    def give(self, name: str) -> None:
        """Have it work on a case."""
        self.name, self.since = name, time.monotonic()
        self.pipe.send(name)

    def take(self, seconds: float) -> dict[str, Any] | None:
        """How its case ended; None while it is at it."""
        try:
            if self.pipe.poll():
                return {"case": self.name} | self.pipe.recv()
        except EOFError:
            self.process.join()
            said = f"the process ended with {self.process.exitcode}"
            return {"case": self.name} | Outcome("crash", said, said).as_dict()
        if time.monotonic() - self.since < seconds:
            return None
        self.process.kill()
        self.process.join()
        # the main thread is the last that faulthandler tells of
        lines = (self.base / "stack").read_text().rpartition("(most recent")[2].splitlines()
        ours = [line for line in lines if "napari_ssan" in line]
        where, *rest = (line.rpartition("/")[2] for line in [*ours, *lines, "nowhere"])
        outcome = Outcome("hang", f"longer than {seconds} s: {where} {rest[:3]}", where)
        return {"case": self.name} | outcome.as_dict()


def run_all(
    folder: Path, names: list[str], jobs: int, seconds: float, memory: int
) -> list[dict[str, Any]]:
    """Have processes do all cases."""
    waiting = list(reversed(names))
    workers: list[Worker] = []
    rows: list[dict[str, Any]] = []
    while waiting or workers:
        while waiting and len(workers) < jobs:
            workers.append(Worker(folder, seconds, memory))
            workers[-1].give(waiting.pop())
        wait([worker.pipe for worker in workers], timeout=0.5)
        for worker in list(workers):
            row = worker.take(seconds)
            if row is None:
                continue
            rows.append(row)
            if row["verdict"] not in GOOD:
                print(row["case"], row["verdict"], row["said"][:150], file=sys.stderr)
            alive = worker.process.is_alive() and row["verdict"] not in ("hang", "crash")
            if alive and waiting:
                worker.give(waiting.pop())
                continue
            if alive:
                worker.pipe.send(None)
            worker.process.join()
            workers.remove(worker)
    return rows


def tell(rows: list[dict[str, Any]]) -> None:
    """Print how the cases ended by kind, and each finding once."""
    console = Console(soft_wrap=True)
    verdicts = [*GOOD, *sorted({row["verdict"] for row in rows} - set(GOOD))]
    table = Table("kind", *verdicts, title=f"{len(rows)} files")
    counts = Counter((row["case"].partition(":")[0], row["verdict"]) for row in rows)
    for kind in dict.fromkeys(row["case"].partition(":")[0] for row in rows):
        table.add_row(kind, *(str(counts[kind, verdict] or "") for verdict in verdicts))
    table.add_row("all", *(str(sum(r["verdict"] == v for r in rows)) for v in verdicts))
    console.print(table)
    findings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["verdict"] not in GOOD:
            findings.setdefault((row["verdict"], row["where"]), []).append(row)
    for (verdict, where), found in sorted(findings.items(), key=lambda item: -len(item[1])):
        first = found[0]
        console.print(f"\n{verdict} ({len(found)}): {where}", markup=False, highlight=False)
        damage = first.get("damage", "")[:200]
        text = f"  {first['said'][:300]}\n  --case {first['case']}: {damage!r}"
        console.print(text, markup=False, highlight=False)
    console.print(f"\n{len(findings)} distinct findings", markup=False)


if __name__ == "__main__":
    typer.run(main)

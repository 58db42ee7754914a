"""Trains the network that sees damage, on damage that is planted in good sections.

``python benchmarks/damage_network.py OUT.safetensors --minutes 35`` reads the stacks on which
the thresholds of the rules were set, from ``$NAPARI_SSAN_DATA/data``. The sections that
are known to be broken, and the last ones of each stack, are not learned from; on the latter,
checkpoints are compared, and the best is written. ``--start`` goes on from earlier weights,
looks again and again at those good places that look damaged to them, and compares the means of
the weights before and now as well.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import tifffile
import torch
import typer
from safetensors.torch import load_file, save
from scipy.ndimage import binary_dilation, gaussian_filter, gaussian_filter1d, label
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from napari_ssan.inspection.damage_network import OUTPUTS, DamageNetwork, scaled
from napari_ssan.inspection.lines import around_lines, beyond_lines, lines_of
from napari_ssan.inspection.pictures import (
    SMOOTH,
    THIN,
    Float,
    Mask,
    coarse,
    detail_of,
    evidence,
    fine_of,
    means_of,
    scale_of,
)
from napari_ssan.inspection.plant import REGION_KINDS, plant_region
from napari_ssan.inspection.signs import rule_maps
from napari_ssan.network.device import has_fast_bfloat16
from napari_ssan.network.writing import new_file
from napari_ssan.stack.alignment import find_shift

#: Stacks, the factors by which they are binned, and sections that are broken.
STACKS = {
    "kasthuri_z000-097": ((1, 2), {14, 17, 26, 41, 51, 55, 60, 67, 77, 80}),
    "isbi2012_train_volume": ((1, 2), {7, 8, 18, 20, 25}),
    "isbi2012_test_volume": ((1, 2), {13, 15}),
    "snemi3d_ac4": ((1, 2, 3), {3, 7, 21, 37, 65}),
    "vnc_stack2_raw": ((1, 2, 3, 4), set()),
    "cytoseg_sbfsem": ((1, 2, 3), set()),
    "cdeep3m2_sbem_a": ((1, 2, 3, 4), set()),
    "cdeep3m2_sbem_b": ((1, 2, 3, 4), set()),
}
#: The last of so many sections of each stack are held out.
HELD = 7
#: Side of a crop at the resolution of comparison. Crops of a section that is halved there have
#: twice the side before.
SIDE = 192
#: Crops in a batch, how many of them are new, and how many are kept to be seen again.
BATCH, NEW, KEPT = 8, 1, 2000
#: Held-out crops: of each kind at weak, at medium strength, and without damage.
CHECKED, CLEAN = 20, 150
#: Share of crops that the tail of good tissue is taken from.
RARE = 0.03
#: Places of a scene where damage is sought in good sections, how many peaks of each are noted
#: (the highest of all are used), how far they lie apart, and the share of crops that show one.
SOUGHT, PLACES, APART, HARD = 60, 3, 24, 0.3
#: What a peak of a crop counts beside its pixels, and the decay of the average of the weights.
PEAK, AVERAGE = 0.05, 0.99
#: Highest learning rate.
RATE = 2.5e-3
NAMES = {"charging": "hole"}

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, eq=False)
class Scene:
    """A stack, binned, whose sections are halved once more (or not) before they are compared.

    Attributes
    ----------
    sections : list of ndarray, (height, width)
        Float32.
    step : int
        1, or 2 if they are halved.
    good, held : list of int
        Sections to learn from, and to judge on.
    """

    sections: list[Float]
    step: int
    good: list[int]
    held: list[int]

    @cache  # noqa: B019  # scenes live as long as the program
    def shift(self, z: int, n: int) -> tuple[int, int]:
        """How far section n must be moved to lie on z, in whole pixels that are compared."""
        rows, columns = find_shift(self.sections[z], self.sections[n])
        return self.step * round(rows / self.step), self.step * round(columns / self.step)


@dataclass(frozen=True)
class Crop:
    """What the network is given, (3, 2, SIDE, SIDE) and (7, SIDE, SIDE), and what is true."""

    pictures: Float
    maps: Float
    truth: Mask


def scenes(folder: Path) -> list[Scene]:
    """All stacks at all scales."""
    found = []
    for name, (factors, broken) in STACKS.items():
        stack = tifffile.imread(folder / f"{name}.tif")
        good = [z for z in range(1, len(stack) - 1) if z not in broken]
        held = [z for z in good if z >= len(stack) - 1 - len(stack) // HELD]
        learned = [z for z in good if z + 1 < min(held)]
        for n in factors:
            height, width = (length // n for length in stack.shape[1:])
            cut = stack[:, : height * n, : width * n].astype(np.float32)
            binned = list(cut.reshape(len(stack), height, n, width, n).mean((2, 4)))
            for step in (1, 2):
                if min(height, width) >= SIDE * step + 8:
                    found.append(Scene(binned, step, learned, held))
    return found


def window(
    scene: Scene, z: int, random: np.random.Generator, at: tuple[int, int] | None = None
) -> tuple[list[Float], tuple[int, int]]:
    """A place of a section and of both neighbours, and its corner: one with a pixel, or any."""
    side = SIDE * scene.step
    far = 2 if random.random() < 0.12 else 1
    near = [n for n in (z - far, z + far) if 0 <= n < len(scene.sections)]
    numbers = (z, *(near if len(near) == 2 else (z - 1, z + 1)))
    shifts = [(0, 0), *(scene.shift(z, n) for n in numbers[1:])]
    shape = scene.sections[z].shape
    low = [max(s[axis] for s in shifts) for axis in (0, 1)]
    high = [min(shape[axis] + s[axis] for s in shifts) - side for axis in (0, 1)]
    if high[0] < low[0] or high[1] < low[1]:
        shifts, low, high = [(0, 0)] * 3, [0, 0], [n - side for n in shape]
    if at is not None:
        low, high = (
            [int(np.clip(n - far, a, b)) for n, a, b in zip(at, low, high, strict=True)]
            for far in (side - 1, 0)
        )
    top, left = (int(random.integers(a, b + 1)) for a, b in zip(low, high, strict=True))
    found = []
    for place, (n, (rows, columns)) in enumerate(zip(numbers, shifts, strict=True)):
        if place and random.random() < 0.15:  # not where it should lie
            rows, columns = (k + scene.step * int(random.integers(-3, 4)) for k in (rows, columns))
        y = min(max(top - rows, 0), shape[0] - side)
        x = min(max(left - columns, 0), shape[1] - side)
        found.append(scene.sections[n][y : y + side, x : x + side])
    return found, (top, left)


def stain(
    pixels: Float, mask: Mask, strength: float, random: np.random.Generator
) -> tuple[Float, Mask]:
    """Cover a mask otherwise than `plant_region` does: evenly, torn, or with a clipped middle."""
    low, high = np.quantile(pixels, (0.01, 0.99))
    dark = bool(random.integers(2))
    middle = float(np.median(pixels))
    end = low if dark else high
    value = middle + (1 + strength * random.uniform(0, 1.2)) * (end - middle)
    value = min(max(value, float(pixels.min())), float(pixels.max()))
    if random.random() < 0.3:
        mask = binary_dilation(mask, iterations=int(random.integers(1, 7)))
    cover = gaussian_filter(mask.astype(np.float32), random.uniform(0.5, 2.5))
    if random.random() < 0.5:
        torn = gaussian_filter(random.standard_normal(pixels.shape).astype(np.float32), 2)
        cover = cover * (0.75 + 0.25 * np.tanh(2 * torn / torn.std()))
    return (pixels + cover * (value - pixels)).astype(np.float32), mask & (cover > 0.3)


def plant(
    kind: str, pixels: Float, strength: float, random: np.random.Generator, around: Mask
) -> tuple[Float, Mask, str]:
    """Plant a region; the section, its mask, and what the network shall call it."""
    damaged, mask = plant_region(kind, pixels, strength, random, around)
    name = NAMES.get(kind, kind)
    if kind in ("contamination", "hole") and random.random() < 0.4:
        damaged, mask = stain(pixels, mask, strength, random)
        darker = (damaged - pixels)[mask].mean() < 0 if mask.any() else kind == "contamination"
        name = "contamination" if darker else "hole"
    return damaged, mask, name


def crop(
    scene: Scene,
    z: int,
    random: np.random.Generator,
    wanted: list[tuple[str, float]] | None = None,
    at: tuple[int, int] | None = None,
) -> Crop:
    """A crop with damage, what is wanted or some by chance; with a pixel, or of any place."""
    pictures, _ = window(scene, z, random, at)
    checked = wanted is not None
    if random.random() < 0.3:
        scale = random.uniform(0.4, 1.2)
        pictures = [gaussian_filter(each, scale) for each in pictures]
    if random.random() < 0.3:
        grain = random.uniform(0.1, 0.7) * pictures[0].std()
        pictures = [
            each + grain * random.standard_normal(each.shape).astype(np.float32)
            for each in pictures
        ]
    if wanted is None:
        number = random.choice(4, p=(0.3, 0.35, 0.2, 0.15))
        wanted = [
            (str(random.choice(REGION_KINDS)), 2 * random.random() ** 1.5) for _ in range(number)
        ]
    truth = np.zeros((len(OUTPUTS), SIDE, SIDE), bool)
    own, taken = pictures[0], np.zeros(pictures[0].shape, bool)
    for kind, strength in wanted:
        own, mask, name = plant(kind, own, strength, random, taken)
        taken |= mask
        small = mask if scene.step == 1 else coarse(mask.astype(np.float32)) >= 0.5
        truth[OUTPUTS.index(name)] |= small
    pictures[0] = own
    if not checked:
        for n in (1, 2):  # a neighbour is damaged, out of focus, or from elsewhere
            chance = random.random()
            if chance < 0.15:
                kind = str(random.choice(REGION_KINDS))
                pictures[n], _ = plant_region(kind, pictures[n], 2 * random.random(), random)
            elif chance < 0.18:
                pictures[n] = gaussian_filter(pictures[n], random.uniform(0.5, 1.5))
            elif chance < 0.20 and not truth.any():
                pictures[n] = np.roll(pictures[n][::-1], 50, axis=1)
        if random.random() < 0.06:
            pictures[0] = gaussian_filter(pictures[0], random.uniform(0.4, 1.0))
        if random.random() < 0.15:
            n = int(random.integers(3))
            pictures[n] = shaded(pictures[n], random)
    bend = random.uniform(1.5, 6.0) if random.random() < 0.3 else 0.0
    given = [seen(each, bend, checked, random) for each in pictures]
    if not checked and random.random() < 0.2:  # an edge that a neighbour does not reach
        deep = int(random.integers(1, 16))
        for each in given:
            each[0][:deep] = 0
    return Crop(
        np.stack([evidence(*each) for each in given]).astype(np.float16),
        scaled(maps_of(given)).astype(np.float16),
        truth,
    )


def maps_of(given: list[tuple[Float, Float]]) -> dict[str, Float]:
    """The maps of the rules for the grey values and fine detail of three pictures."""
    (unit, fine), *others = given
    own, before, after = (gaussian_filter(each, SMOOTH, truncate=3) for each, _ in given)
    found, theirs = lines_of(unit), [lines_of(each) for each, _ in others]
    lines = {
        sign: beyond_lines(way * found, *(around_lines(way * each) for each in theirs))
        for sign, way in (("dark", np.int16(-1)), ("light", np.int16(1)))
    }
    pictures = (own, before, after)
    means = [means_of(each) for each in pictures]
    return rule_maps(unit, fine, pictures, means, [each for _, each in others], lines)


def shaded(pixels: Float, random: np.random.Generator) -> Float:
    """Shade a picture slowly: that is no damage of a region."""
    waves = gaussian_filter1d(random.standard_normal((2, SIDE)), SIDE / 5, axis=1)
    rows, columns = (
        np.interp(np.arange(n), np.linspace(0, n, SIDE), wave / (np.abs(wave).max() + 1e-9))
        for n, wave in zip(pixels.shape, waves, strict=True)
    )
    field = rows[:, None] + columns
    return (pixels + random.uniform(0.1, 0.6) * pixels.std() * field).astype(np.float32)


def seen(
    pixels: Float, bend: float, exact: bool, random: np.random.Generator
) -> tuple[Float, Float]:
    """Grey values and fine detail of a picture; its scale and tone are varied."""
    level, contrast = scale_of(pixels[::THIN, ::THIN])
    unit = ((pixels - level) / contrast).clip(-8, 8)
    if not exact:
        unit = unit * random.uniform(0.88, 1.14) + random.uniform(-0.12, 0.12)
    if bend:
        unit = bend * np.tanh(unit / bend)
    unit = unit.astype(np.float32)
    return coarse(unit).copy(), fine_of(detail_of(unit))


def hard_places(
    all_scenes: list[Scene], network: DamageNetwork, random: np.random.Generator
) -> list[tuple[Scene, int, tuple[int, int]]]:
    """Pixels of good sections, with scene and section, where a network sees damage most."""
    found: list[tuple[float, Scene, int, tuple[int, int]]] = []
    for scene in all_scenes:
        for _ in range(SOUGHT):
            z = int(random.choice(scene.good))
            pictures, (top, left) = window(scene, z, random)
            given = [seen(each, 0.0, True, random) for each in pictures]
            maps = torch.from_numpy(scaled(maps_of(given)))[None]
            with torch.inference_mode():
                near = [torch.from_numpy(evidence(*each))[None] for each in given]
                logits = network(*near, maps)[0].amax(0).numpy()
            for _ in range(PLACES):
                y, x = (int(n) for n in np.unravel_index(logits.argmax(), logits.shape))
                at = top + y * scene.step, left + x * scene.step
                found.append((float(logits[y, x]), scene, z, at))
                logits[max(0, y - APART) : y + APART, max(0, x - APART) : x + APART] = -np.inf
    highest = sorted(found, key=lambda place: -place[0])
    return [place for _, *place in highest[: len(found) // PLACES]]


@dataclass(frozen=True)
class Crops(IterableDataset[tuple[list[Tensor], Tensor]]):
    """Batches of new crops and of some that were seen before, turned and mirrored."""

    scenes: list[Scene]
    random: np.random.Generator
    hard: list[tuple[Scene, int, tuple[int, int]]]

    def __iter__(self) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Make batches without end; one process does it."""
        random, kept = self.random, list[Crop]()
        weights = np.array([len(scene.good) ** 0.5 for scene in self.scenes])
        while True:
            new = []
            for _ in range(NEW if kept else BATCH):
                if self.hard and random.random() < HARD:
                    scene, z, at = self.hard[int(random.integers(len(self.hard)))]
                    new.append(crop(scene, z, random, at=at))
                    continue
                scene = self.scenes[random.choice(len(weights), p=weights / weights.sum())]
                new.append(crop(scene, int(random.choice(scene.good)), random))
            again = random.integers(len(kept), size=BATCH - len(new)) if kept else ()
            yield tensors([*new, *(kept[int(n)] for n in again)], random)
            if len(kept) >= KEPT:
                kept = [kept[int(n)] for n in random.permutation(KEPT)[len(new) :]]
            kept += new


def tensors(batch: list[Crop], random: np.random.Generator | None) -> tuple[list[Tensor], Tensor]:
    """Three pictures of (batch, 2, H, W), maps of the rules, and the truth."""
    pictures, maps, truths = [], [], []
    for each in batch:
        arrays = (each.pictures, each.maps, each.truth)
        if random is not None:
            turns, mirrored = int(random.integers(4)), bool(random.integers(2))
            arrays = tuple(np.rot90(x, turns, (-2, -1)) for x in arrays)
            if mirrored:
                arrays = tuple(x[..., ::-1] for x in arrays)
        for kept, array in zip((pictures, maps, truths), arrays, strict=True):
            kept.append(np.ascontiguousarray(array))
    stacked = torch.from_numpy(np.stack(pictures).astype(np.float32))
    joined = torch.from_numpy(np.stack(maps).astype(np.float32))
    return [*stacked.unbind(1), joined], torch.from_numpy(np.stack(truths)).float()


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of pixels, and of the highest ones where there is damage and elsewhere."""
    pixels = functional.binary_cross_entropy_with_logits(logits, truth)
    flat, damaged = logits.flatten(2), truth.flatten(2)
    with torch.no_grad():
        near = functional.max_pool2d(functional.max_pool2d(truth.amax(1, keepdim=True), 4), 3, 1, 1)
        near = near.repeat_interleave(4, 2).repeat_interleave(4, 3).flatten(2)
        places = [
            torch.where(where, flat, -100.0).argmax(2, keepdim=True)
            for where in (near == 0, damaged > 0)
        ]
        there = damaged.amax(2)
    good, bad = (flat.gather(2, place)[..., 0] for place in places)
    peaks = functional.softplus(good).mean() + (functional.softplus(-bad) * there).sum() / (
        there.sum() + 1
    )
    return pixels + PEAK * peaks


def check(network: DamageNetwork, held: dict[tuple[str, int], list[Crop]]) -> dict[str, float]:
    """Share of weak and of medium damage that lies above nearly all peaks of good crops."""
    peaks = defaultdict(list)
    overlaps = []
    with torch.inference_mode():
        for key, found in held.items():
            for start in range(0, len(found), BATCH):
                part = found[start : start + BATCH]
                pictures, _ = tensors(part, None)
                logits = network(*pictures).numpy()
                for each, made in zip(part, logits, strict=True):
                    if not key[0]:
                        peaks[key].append(made.max((1, 2)))
                        continue
                    true = each.truth.any(0)
                    around = binary_dilation(true, iterations=2)
                    peaks[key].append(np.where(around, made, -30).max((1, 2)))
                    overlaps.append(_overlap(made.max(0) > 0, true))
    limits = np.quantile(peaks["", 0], 1 - RARE, axis=0)
    figures = {}
    for (kind, strength), found in peaks.items():
        if kind:
            name = OUTPUTS.index(NAMES.get(kind, kind))
            above = np.array(found) > limits
            figures[f"{kind} {strength}"] = float(above[:, name].mean())
    figures["found"] = float(np.mean(list(figures.values())))
    figures["overlap"] = float(np.mean(overlaps))
    return figures


def _overlap(found: Mask, truth: Mask) -> float:
    pieces, _ = label(found)
    touched = np.isin(pieces, np.setdiff1d(np.unique(pieces[truth]), [0]))
    return float((touched & truth).sum() / max(1, (touched | truth).sum()))


def tell(when: str, figures: dict[str, float]) -> float:
    """Print the figures of a check, and return the one by which weights are chosen."""
    print(f"{when}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()), flush=True)
    return figures["found"]


@app.command()
def train(
    output: Annotated[Path, typer.Argument(help="Weights to write, .safetensors.")],
    minutes: Annotated[float, typer.Option(help="Time to train.")] = 35,
    every: Annotated[float, typer.Option(help="Minutes between two checkpoints.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
) -> None:
    """Train the network."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    all_scenes = scenes(Path(os.environ["NAPARI_SSAN_DATA"]) / "data")
    fixed = np.random.default_rng(10**6 + seed)
    held: dict[tuple[str, int], list[Crop]] = {}

    def held_out(wanted: list[tuple[str, float]]) -> Crop:
        scene = all_scenes[int(fixed.integers(len(all_scenes)))]
        return crop(scene, int(fixed.choice(scene.held)), fixed, wanted)

    for kind in REGION_KINDS:
        for strength in (0, 1):
            held[kind, strength] = [held_out([(kind, strength)]) for _ in range(CHECKED)]
    held["", 0] = [held_out([]) for _ in range(CLEAN)]
    network, hard, before = DamageNetwork(), [], None
    if start is not None:
        before = load_file(start)
        network.load_state_dict(before)
        hard = hard_places(all_scenes, network, random)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    dtype = torch.bfloat16 if has_fast_bfloat16(torch.device("cpu")) else torch.float32
    started = checked = time.monotonic()
    step, judged = 0, DamageNetwork().eval()
    best = -1.0
    if before is not None:
        judged.load_state_dict(before)
        best = tell("start", check(judged, held))
    print(f"{len(all_scenes)} scenes, {len(hard)} places that look damaged", flush=True)
    batches = DataLoader(Crops(all_scenes, random, hard), batch_size=None, num_workers=1)
    for pictures, truth in batches:
        done = (time.monotonic() - started) / 60 / minutes
        rate = RATE * min(1, (step + 1) / 50) * (1 + np.cos(np.pi * min(1, done))) / 2 + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        half = {name: value.to(dtype) for name, value in network.named_parameters()}
        near = (x.to(dtype).contiguous(memory_format=torch.channels_last) for x in pictures)
        logits = torch.func.functional_call(network, half, tuple(near))
        loss = loss_of(logits.float(), truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        if done < 1 and time.monotonic() - checked < 60 * every:
            continue
        checked = time.monotonic()
        for mean in (False, True) if before is not None else (False,):
            weights = {k: v.clone() for k, v in average.module.state_dict().items()}
            if mean:
                weights = {k: (v + before[k]) / 2 for k, v in weights.items()}
            judged.load_state_dict(weights)
            figures = check(judged, held)
            found = tell(f"{done * minutes:.1f} min, step {step}, mean {mean}", figures)
            if found > best:
                best = found
                card = {"stacks": list(STACKS), "step": step, "seed": seed,
                        "mean_with_start": mean, "held_out": figures}  # fmt: skip
                with new_file(output, ".safetensors", overwrite=True) as temporary:
                    temporary.write_bytes(save(weights, {"card": json.dumps(card)}))
        if done >= 1:
            return


if __name__ == "__main__":
    app()

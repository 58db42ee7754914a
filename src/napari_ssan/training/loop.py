"""The training loop: steps, validations, checkpoints and rollbacks until the budget is spent.

Preparation and the final model file are left to :mod:`~napari_ssan.training.run`. With a
budget in steps, the clock must decide nothing that changes the result. No step waits for a GPU:
losses are added up there, and looked at every few steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event as Flag

import numpy as np
import torch
from torch import Tensor

from napari_ssan.errors import Cancelled, is_out_of_memory
from napari_ssan.events import Notice
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import autocast, device_name
from napari_ssan.network.ssan import Synthesis
from napari_ssan.stack.intensity import Float
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.batches import Batches
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Preview, Report, RolledBack, StepDone, Validated
from napari_ssan.training.state import Checkpoint, TrainingState
from napari_ssan.training.tally import Tally
from napari_ssan.training.validation import Check, Validation, merit

#: Steps between two saved good states, to which training can go back.
GOOD_AFTER = 10
#: Seconds between two events of steps, at least.
TELL_EVERY = 0.1
#: With a budget of time, validations take at most about 1 / this of it.
VALIDATION_PART = 10
#: Training ends if it has to go back once more than this.
ROLLBACKS = 3


class _Stopped(Exception):
    """The user wants to end training and keep the best network so far."""


class _NotFinite(Exception):
    """A loss, a gradient or a weight is infinite or NaN."""


@dataclass
class Training:
    """A training run, from a fresh or restored state to the end of the budget.

    The result depends only on the state, to the last bit, and not on interruptions, if
    the budget is in steps or epochs and the run is on a CPU with the same number of
    threads. Validations and checkpoints follow the count of steps.

    Attributes
    ----------
    state : TrainingState
        Is trained. At the end it holds the best network.
    sampler : TripletSampler
        Endless triplets, at the state's place in the stream.
    config : TrainingConfig
    steps : int or None
        Budget in steps; None if the budget is ``config.minutes``.
    loss : TotalLoss
        The loss, on the state's device.
    validation : Validation
        Judges the moving average of the weights.
    before : ndarray of float32, (height, width)
        The previewed section, synthesized by the network at the start.
    report : callable
        Receives events.
    keep : callable
        Receives checkpoints that are due to be written.
    stop : threading.Event
        Set it to end within a step and keep the best network so far.
    cancel : threading.Event
        Set it to cancel within a step.
    workers : int
        Processes that draw triplets ahead; 0 draws them between the steps.
    compiled : bool
        Compile the network for this machine: a slow start, then faster steps on a GPU.

    Attributes
    ----------
    waited : float
        Seconds in which steps waited for triplets.
    """

    state: TrainingState
    sampler: TripletSampler
    config: TrainingConfig
    steps: int | None
    loss: TotalLoss
    validation: Validation
    before: Float
    report: Report = lambda event: None
    keep: Callable[[Checkpoint], object] = lambda checkpoint: None
    stop: Flag = field(default_factory=Flag)
    cancel: Flag = field(default_factory=Flag)
    workers: int = 0
    compiled: bool = False
    waited: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        device = self.state.device
        self._batches = Batches(self.sampler, device, self.workers, self.report)
        self._network: Callable[..., Synthesis] = self.state.network
        if self.compiled:
            self._network = torch.compile(self.state.network)
        self._good = self.state.checkpoint(self.sampler.state())
        #: Steps after which they are looked at: each where that is free.
        self._look_after = 1 if device.type == "cpu" else GOOD_AFTER
        self._since_good, self._untold = Tally(), Tally()
        self._sound = torch.ones(2, dtype=torch.bool, device=device)

    @property
    def share(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        facts = self.state.facts
        if self.steps:
            return min(facts.step / self.steps, 1.0)
        assert self.config.minutes is not None  # all other budgets are in steps
        return min(facts.seconds / 60 / self.config.minutes, 1.0)

    def run(self) -> str:
        """Train until the budget is spent.

        Returns
        -------
        str
            One sentence: why training ended early; empty if the budget was spent.

        Raises
        ------
        BadInput
            If the results of the network are not finite.
        Cancelled
            If `cancel` was set. The last good state was given to `keep`.
        """
        facts = self.state.facts
        reason = ""
        self._begin = time.monotonic() - facts.seconds
        self._kept = self._shown = time.monotonic()
        self._due, self._rested, self._told = False, 0.0, -math.inf
        try:
            while self.share < 1 and not reason:
                before = self.share
                reason = self._advance()
                facts.seconds = time.monotonic() - self._begin
                reason = reason or self._do_what_is_due(before)
        except _Stopped:
            reason = f"Training was stopped after step {facts.step}."
        except Cancelled:
            self.keep(self._good)
            raise
        finally:
            self._batches.close()
        if not self.state.best and facts.step:
            self._settle()
            self._validate(self._leave_off)
        return reason

    def _do_what_is_due(self, before: float) -> str:
        """Validate, keep and show the network between two steps; returns as :meth:`_advance`."""
        share, config = self.share, self.config
        self._due |= _crosses(before, share, config.validate_every)
        # With a budget of steps, time must not matter.
        validates = self._due and (self.steps or share >= 1 or time.monotonic() > self._rested)
        settles = self.state.facts.step % GOOD_AFTER == 0 or share >= 1
        if validates or settles:
            try:
                self._look()
            except _NotFinite as error:
                return self._roll_back(str(error))
            self._settle()
        if validates:
            self._validate(self._check)
        if settles:
            self._good = self.state.checkpoint(self.sampler.state())
            if share >= 1 or time.monotonic() - self._kept > config.checkpoint_every:
                self.keep(self._good)
                self._kept = time.monotonic()
        if share >= 1 or time.monotonic() - self._shown > config.preview_every:
            held_out, now = self.validation.preview(self.state.average)
            real = held_out.real.astype(np.float32)
            self.report(Preview(held_out.section, real, self.before, now))
            self._shown = time.monotonic()
        return ""

    def _advance(self) -> str:
        """Do a step, or recover from one that failed; returns why training must end, else empty."""
        full = False
        try:
            self._step()
        except _NotFinite as error:
            return self._roll_back(str(error))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            full = True
        # Out here, the failed step's tensors are freed.
        return self._shrink() if full else ""

    def _step(self) -> None:
        state, config = self.state, self.config
        rate = config.rate(self.share) * state.facts.slowdown
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        previous, target, following, position = self._draw()
        with autocast(state.device, True):
            synthesis = self._network(previous, following, position)
        self._check()
        total, terms = self.loss(synthesis.image, target, previous, following)
        self._check()
        state.optimizer.zero_grad()
        total.backward()
        self._check()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
        self._sound &= torch.stack((total.detach(), norm)).isfinite()
        looks = (state.facts.step + 1) % self._look_after == 0
        if looks:
            self._look()
        state.optimizer.step()
        if looks and not _all_finite(state.network.parameters()):
            raise _NotFinite("A weight")
        state.follow()
        state.facts.seconds = time.monotonic() - self._begin
        self._tell(terms | {"total": total.detach()}, rate)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        begin = time.monotonic()
        batch = self._batches.draw(self.state.facts.batch)
        self.waited += time.monotonic() - begin
        self._check()
        return batch

    def _look(self) -> None:
        """Raise if a loss or a gradient since the last look was no finite number."""
        loss, gradient = self._sound.tolist()
        self._sound.fill_(True)
        if not loss:
            raise _NotFinite("The loss")
        if not gradient:
            raise _NotFinite("The gradient of the loss")

    def _settle(self) -> None:
        """Add the losses since the last good state to the facts."""
        facts = self.state.facts
        sums, steps = self._since_good.take()
        if all(map(math.isfinite, sums.values())):  # else it is what training went back from
            for name, value in sums.items():
                facts.sums[name] = facts.sums.get(name, 0.0) + value
            facts.counted += steps

    def _tell(self, losses: dict[str, Tensor], rate: float) -> None:
        facts, share, now = self.state.facts, self.share, time.monotonic()
        self._since_good.add(losses)
        self._untold.add(losses)
        if share < 1 and now - self._told < TELL_EVERY:
            return
        self._told = now
        sums, steps = self._untold.take()
        means = {name: total / steps for name, total in sums.items()}
        left = facts.seconds / share * (1 - share)
        self.report(StepDone(facts.step, share, left, means, self.state.gammas(), rate))

    def _validate(self, check: Check) -> None:
        state, facts = self.state, self.state.facts
        begin = time.monotonic()
        scores = self.validation.score(state.average, check)
        took = time.monotonic() - begin
        self._due, self._rested = False, begin + VALIDATION_PART * took
        preset = self.config.loss.preset
        best = not state.best or merit(scores, preset) > merit(facts.best_scores, preset)
        if best:
            state.keep_best(scores)
        means = {name: total / max(facts.counted, 1) for name, total in facts.sums.items()}
        entry = {"step": facts.step, "minutes": facts.seconds / 60, "gammas": state.gammas()}
        facts.curve.append(entry | means | scores)
        facts.sums, facts.counted = {}, 0
        self.report(Validated(facts.step, scores, best))

    def _roll_back(self, what: str) -> str:
        facts = self.state.facts
        if facts.rollbacks == ROLLBACKS:
            return (
                f"{what} became infinite or NaN again, even at 1/{2**ROLLBACKS} of the learning "
                f"rate, so training ended after step {facts.step}: lower the learning rate, or "
                "mark slices with extreme values."
            )
        self.state.rewind(self._good)
        self._settle()
        facts.rollbacks += 1
        facts.slowdown /= 2
        text = (
            f"{what} became infinite or NaN after step {facts.step}: training went back a few "
            "steps and continues at half the learning rate; if this happens again, mark slices "
            "with extreme values or lower the learning rate."
        )
        self.report(RolledBack(facts.step, text))
        return ""

    def _shrink(self) -> str:
        state, facts = self.state, self.state.facts
        state.optimizer.zero_grad()
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        memory = f"The memory of the {device_name(state.device)} is full"
        if facts.batch == 1:
            return (
                f"{memory}, even with a single triplet of {self.config.crop} pixels: choose a "
                "smaller crop or another device, or close other programs that use this memory."
            )
        state.rewind(self._good)
        facts.batch //= 2
        self.report(Notice(f"{memory}: training continues with {facts.batch} triplets per step."))
        return ""

    def _check(self) -> None:
        self._leave_off()
        if self.stop.is_set():
            raise _Stopped

    def _leave_off(self) -> None:
        if self.cancel.is_set():
            raise Cancelled


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _crosses(before: float, after: float, every: float) -> bool:
    """Whether a multiple of `every`, or 1, lies above `before` and at or below `after`."""
    last, now = (math.floor(share / every + 1e-9) for share in (before, after))
    return last < now or before < after == 1

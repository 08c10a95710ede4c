"""The loop every part is trained by: time, learning rate, average, checkpoints, progress. Knows no network's aim.

A budget is seconds of training, so a run takes as long as it was told to on any machine; a run that was killed goes on
from its last checkpoint.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

WARM_UP = 0.02  # of the budget
LOWEST_RATE = 0.04  # of the learning rate, at the end
SAVE_SECONDS, LOG_SECONDS, SAMPLE_SECONDS = 90.0, 30.0, 1200.0
LONGEST_STEP = 60.0  # s that count at most: the machine may have slept meanwhile
BETAS = (0.9, 0.98)  # of Adam
LARGEST_NORM = 1.0  # of the gradient

Losses = Mapping[str, Tensor]


@dataclass(frozen=True)
class Schedule:
    """seconds of training; learning_rate at its highest; average: decay of the weights' moving average."""

    seconds: float
    learning_rate: float
    average: float


class Trainer:
    """Trains `network` on `step(generator, progress) -> losses`, the sum of which is minimised.

    progress runs from 0 to 1; the generator depends on the number of the step alone. file: the checkpoint, complete at
    any moment (temp + rename), from which training goes on. sample: called now and then, and at the end, with the
    averaged weights in place. clock: seconds, ever more.
    """

    def __init__(
        self,
        network: nn.Module,
        step: Callable[[torch.Generator, float], Losses],
        schedule: Schedule,
        file: Path,
        *,
        sample: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.network, self.schedule, self.file = network, schedule, file
        self._step, self._sample, self._clock = step, sample, clock
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.Adam(self._weights, schedule.learning_rate, betas=BETAS)
        self._average = [weight.detach().clone() for weight in self._weights]
        self.steps, self.seconds = 0, 0.0
        if file.exists():
            self._load()

    def run(self) -> None:
        """Train until the budget is spent; the network then has the averaged weights."""
        last, sums = self._clock(), {}
        saved = logged = sampled = self.seconds
        while self.seconds < self.schedule.seconds:
            losses = self._advance()
            for name, loss in losses.items():
                sums.setdefault(name, []).append(loss.detach())
            now = self._clock()
            self.seconds, last = self.seconds + min(now - last, LONGEST_STEP), now
            if self.seconds - logged > LOG_SECONDS:
                self._log(sums)
                logged, sums = self.seconds, {}
            if self.seconds - saved > SAVE_SECONDS:
                self._save()
                saved = self.seconds
            if self._sample and self.seconds - sampled > SAMPLE_SECONDS:
                self._with_average(self._sample)
                sampled, last = self.seconds, self._clock()
        self._save()
        self._take_average()
        if self._sample:
            self._sample()

    def _take_average(self) -> None:
        with torch.no_grad():
            for weight, average in zip(self._weights, self._average):
                weight.copy_(average)

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.file)

    def _load(self) -> None:
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps, self.seconds = state["steps"], state["seconds"]
        logger.info("%s: going on from step %d, %.0f s", self.file.stem, self.steps, self.seconds)

    def _advance(self) -> Losses:
        progress = self.seconds / self.schedule.seconds
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate * rate_at(progress)
        generator = torch.Generator().manual_seed(self.steps)
        losses = self._step(generator, progress)
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self._weights, LARGEST_NORM)
        self._optimizer.step()
        self.steps += 1
        decay = min(self.schedule.average, self.steps / (self.steps + 10))
        torch._foreach_lerp_(self._average, [weight.detach() for weight in self._weights], 1 - decay)
        return losses

    def _with_average(self, action: Callable[[], None]) -> None:
        current = [weight.detach().clone() for weight in self._weights]
        self._take_average()
        action()
        with torch.no_grad():
            for weight, kept in zip(self._weights, current):
                weight.copy_(kept)

    def _log(self, sums: Mapping[str, list[Tensor]]) -> None:
        means = ", ".join(f"{name} {torch.stack(values).mean():.4f}" for name, values in sums.items())
        left = max(0.0, self.schedule.seconds - self.seconds)
        logger.info("%s: step %d, %s, %.0f s left", self.file.stem, self.steps, means, left)


def rate_at(progress: float) -> float:
    """The share of the learning rate at `progress`: a short warm-up, then a cosine (Loshchilov and Hutter, 2017)."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.02)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
    return LOWEST_RATE + (1 - LOWEST_RATE) * falling

"""The time of one answer: how long stages take, how much of the budget is left, who wants to stop.

Every wait of an answer passes through a `Clock`, so that a caller hears about each stage and flow
step, can cancel at each, and gets an answer within its budget or none. Knows nothing of models.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ..question import Cancelled, OnProgress, Progress
from .costs import StageCosts

#: Estimates are taken this much longer than measured, so that ordinary jitter does not break a
#: budget.
MARGIN = 1.1


class OutOfBudget(Exception):
    """What is still to do would not fit into the time that is left."""


class Clock:
    """Starts when made. budget_s counts from `started` on the clock `now`; None is no limit.

    retrying: estimates are in doubt; nothing is refused for them, and what is measured replaces
    them.
    """

    def __init__(
        self,
        costs: StageCosts,
        device: torch.device,
        on_progress: OnProgress | None,
        budget_s: float | None,
        started: float,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.costs = costs
        self.listened = on_progress is not None
        self.budgeted = budget_s is not None
        self.seconds: dict[str, float] = {}
        self.retrying = False
        self.now = now
        self._device = device
        self._on_progress = on_progress
        self._started = started
        self._deadline = math.inf if budget_s is None else started + budget_s
        self._previous: torch.cuda.Event | None = None

    def elapsed_s(self) -> float:
        return self.now() - self._started

    def left_s(self) -> float:
        """Seconds to the end of the budget; infinite without one."""
        return self._deadline - self.now()

    def tell(self, stage: str, fraction: float, preview: np.ndarray | None = None) -> None:
        """Report progress; raises `Cancelled` when the caller wants to stop."""
        if self._on_progress is None:
            return
        if self._on_progress(Progress(stage, fraction, preview)) is False:
            raise Cancelled(f"cancelled at stage {stage!r}, {100 * fraction:.0f} % done")

    def require(self, seconds: float) -> None:
        """Raise `OutOfBudget` unless this much time is left."""
        if self.left_s() < seconds:
            raise OutOfBudget

    def expect(self, stage: str, size: int) -> float:
        """Estimated seconds of a stage, with a margin."""
        return 0.0 if self.retrying else MARGIN * self.costs.estimate(stage, size)

    @contextmanager
    def stage(self, name: str, cost: str = "", size: int = 1) -> Iterator[None]:
        """Measure a stage: added to `seconds[name]` and learned as `cost`: what it took if it
        completes, that it takes more if it is broken off for want of time."""
        start = self.now()
        try:
            yield
            self._finish_device()
            if cost:
                self.learn(cost, size, self.now() - start)
        except OutOfBudget:
            if cost:
                self.costs.exceeded(cost, size, self.now() - start)
            raise
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - start

    def learn(self, cost: str, size: int, seconds: float) -> None:
        """Take in one measurement of a stage."""
        self.costs.observe(cost, size, seconds, anew=self.retrying)

    def pace(self) -> None:
        """Let the device run one flow step ahead, not more: else times would mean nothing."""
        if self._device.type != "cuda" or not (self.listened or self.budgeted):
            return
        event = torch.cuda.Event()
        event.record()
        if self._previous is not None:
            self._previous.synchronize()
        self._previous = event

    def _finish_device(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

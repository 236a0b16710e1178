"""Ask a spatial question, get an answer with the view it was imagined from: the model's front
door.

`Imaginer` owns one loaded model and answers one question at a time; other threads wait their turn.
It chooses the mode and the number of flow steps that fit a budget, and reports, cancels and
measures on the way. No ROS.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..question import Answer, Mode, OnProgress, Question, QuestionError, Task
from ..spatial.recalled import RecalledView
from ..weights.asking_style import AskingStyle
from ..weights.checkpoint import Parts
from ..weights.loading import LoadedModel, load
from ..weights.quantize import Scheme
from .answering import Answering
from .clock import Clock
from .costs import StageCosts
from .prepared import Prepared

#: How often a waiting question looks whether it was cancelled.
_POLL_S = 0.05


class Imaginer:
    """One model, ready to be asked. Safe to share between threads: one answer at a time."""

    def __init__(self, loaded: LoadedModel, now: Callable[[], float] = time.perf_counter) -> None:
        """now: the clock that budgets are kept by, in seconds."""
        self._loaded: LoadedModel | None = loaded
        self._now = now
        self._costs = StageCosts(now)
        self._turn = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        device: str = "auto",
        dtype: str | torch.dtype = "auto",
        quantization: Scheme | None = None,
        parts: Parts = "all",
        style: str | Path | None = None,
        weights: str = "",
    ) -> Imaginer:
        """Load a shipped model by name, or a folder in the layout of the released BAGEL.

        device: `auto`, or anything torch.device takes. dtype: `auto` is bfloat16, but float32 for
            small models on a CPU. quantization: `int8` or `int4` weights of the decoder layers
            (docs/model.md).
        parts: `answer` leaves out all weights that only drawing needs; modes IMAGINE and AUTO then
            never draw.
        style: how to ask, by name (`ipt-style list`) or a JSON file of entries; in place of what
            the folder's `ipt.json` says.
        weights: `ema` or `model`, where a folder has both.
        """
        return cls(load(name, device, dtype, quantization, parts, style, weights))

    # -- what was loaded
    @property
    def model_id(self) -> str:
        return self._open.style.model_id

    @property
    def model_hash(self) -> str:
        """SHA-256 of the weights; `loading.hash_folder` says over which bytes."""
        return self._open.model_hash

    @property
    def device(self) -> torch.device:
        return self._open.device

    @property
    def style(self) -> AskingStyle:
        return self._open.style

    @property
    def _open(self) -> LoadedModel:
        if self._loaded is None:
            raise RuntimeError("this Imaginer was closed; load the model again")
        return self._loaded

    def close(self) -> None:
        """Free the weights, also on the GPU, once a question under way is answered."""
        with self._turn:
            self._loaded = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def warm_up(self) -> None:
        """Answer blank questions of the largest size, with options and without, to allocate memory
        and to learn what stages take.

        Budgets rest on these measurements: before, unknown stages count as taking no time.
        """
        loaded = self._open
        # Only a few of the words an answer may have: what they take is learned from real answers.
        short = replace(loaded.style, max_answer_tokens=min(8, loaded.style.max_answer_tokens))
        learner = Imaginer(replace(loaded, style=short), self._now)
        learner._costs, learner._turn = self._costs, self._turn
        side = short.image_sizes.vae.max_size
        blank = np.full((side, side, 3), 127, np.uint8)
        depth_m, seen = np.ones((side, side), np.float32), np.ones((side, side), bool)
        question = Question(
            Task.FREE,
            (blank,),
            "Where?",
            ("left", "right"),
            think="Looking.",
            recalled=RecalledView(blank, depth_m, seen),
        )
        modes = [Mode.ANSWER, Mode.RECALL, *([Mode.IMAGINE] if loaded.codec else [])]
        for _ in range(
            2
        ):  # the first round pays for compiling and allocating: forget what it took
            self._costs.clear()
            for mode in modes:
                learner.ask(question, mode=mode, flow_steps=2)
            learner.ask(replace(question, options=()), mode=Mode.ANSWER)

    # -- asking
    def ask(
        self,
        question: Question,
        mode: Mode = Mode.AUTO,
        budget_s: float | None = None,
        seed: int = 0,
        on_progress: OnProgress | None = None,
        k: int = 1,
        flow_steps: int | None = None,
    ) -> Answer:
        """Answer one question.

        mode: IMAGINE always draws, ANSWER never, GIVEN is shown `question.true_view` and RECALL
            `question.recalled`; AUTO takes the first of the checkpoint's own preference that fits
            the budget.
        budget_s: seconds from this call, waiting included. Fewer flow steps are taken to fit it,
            then (AUTO only) nothing is drawn, then the outcome is OUT_OF_BUDGET. None: as long as
            it takes.
        seed: imagined view i starts from the noise of seed + i; same seed, same bytes on one
            device.
        on_progress: hears of every stage and flow step; returning False raises `Cancelled`.
        k: imagined views drawn at once; their option probabilities are averaged.
        flow_steps: None is the checkpoint's own number.
        """
        started = self._now()
        self._check(question, mode, budget_s, k, flow_steps)
        if not -(2**63) <= seed < 2**63 - k:
            raise QuestionError(f"seed: expected a number of 64 bits, got {seed}")
        queued = self._wait(started, budget_s, on_progress)
        try:
            loaded = self._open
            clock = Clock(self._costs, loaded.device, on_progress, budget_s, started, self._now)
            seeds = [seed + i for i in range(k)]
            with torch.inference_mode():
                asked = [Prepared(loaded, question)]
                (answer,) = Answering(loaded, asked, clock, seeds, flow_steps).run(Mode(mode))
        finally:
            self._turn.release()
        return replace(answer, times=replace(answer.times, queue_s=queued))

    def prepare(self, question: Question) -> Prepared:
        """The question as `ask_together` takes it; its `layout` says with which others."""
        return Prepared(self._open, question)

    def ask_together(
        self,
        asked: Sequence[Prepared],
        modes: Sequence[Mode],
        seeds: Sequence[int],
        flow_steps: int | None = None,
    ) -> list[dict[Mode, Answer]]:
        """Answer many questions of one layout, each in every mode, as `ask` would one by one with
        these seeds; what modes have in common is read once.

        For evaluations: no budget, no AUTO, and the times are those of all questions and of the
        modes so far.
        """
        if Mode.AUTO in modes or len(seeds) != len(asked):
            raise QuestionError(
                "ask_together: expected modes answer, imagine, given, recall and one seed for "
                f"each of {len(asked)} questions, got {[m.value for m in modes]} and "
                f"{len(seeds)} seeds"
            )
        for mode in modes:
            for one in asked:
                self._check(one.question, mode, None, 1, flow_steps)
        if len({one.layout(modes) for one in asked}) != 1:
            raise QuestionError("ask_together: expected questions of one layout, got several")
        with self._turn, torch.inference_mode():
            loaded = self._open
            clock = Clock(StageCosts(), loaded.device, None, None, self._now(), self._now)
            answering = Answering(loaded, asked, clock, seeds, flow_steps)
            found = {mode: answering.run(mode) for mode in modes}
        return [{mode: answers[k] for mode, answers in found.items()} for k in range(len(asked))]

    def _check(
        self,
        question: Question,
        mode: Mode,
        budget_s: float | None,
        k: int,
        flow_steps: int | None,
    ) -> None:
        mode = Mode(mode)
        if mode is Mode.GIVEN and question.true_view is None:
            raise QuestionError("true_view: mode 'given' shows the true view, got none")
        if mode is Mode.RECALL and question.recalled is None:
            raise QuestionError(
                "mode: 'recall' answers from what was seen of the asked view, nothing was recalled"
            )
        if mode is Mode.IMAGINE and self._open.codec is None:
            raise QuestionError(
                "mode: 'imagine' needs the drawing half of the model, "
                "it was loaded with parts='answer'"
            )
        if budget_s is not None and not budget_s > 0:
            raise QuestionError(f"budget_s: expected a positive number of seconds, got {budget_s}")
        if k < 1:
            raise QuestionError(f"k: expected at least 1 imagined view, got {k}")
        if flow_steps is not None and flow_steps < 1:
            raise QuestionError(f"flow_steps: expected at least 1, got {flow_steps}")

    def _wait(
        self, started: float, budget_s: float | None, on_progress: OnProgress | None
    ) -> float:
        """Seconds until it was this question's turn; the lock is held afterwards."""
        clock = Clock(self._costs, torch.device("cpu"), on_progress, None, started, self._now)
        while not self._turn.acquire(timeout=_POLL_S):
            clock.tell("queued", 0.0)
        return self._now() - started

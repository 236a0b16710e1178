"""Questions from start to end: which mode, how many flow steps, and the `Answer`s that come of it.

Budgets are kept here: what will not fit is not begun, by the costs measured on this machine; AUTO
then goes on to its next mode. The stages themselves are `Turn`'s.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence

from ..question import Answer, Mode, Outcome, Provenance, StageTimes
from ..weights.loading import LoadedModel
from .clock import Clock, OutOfBudget
from .drawing import Drawn
from .prepared import SHOWING, Prepared
from .turn import Reply, Thought, Turn


class Answering:
    """Questions of one layout, answered in step: the robot's single one, or many of an evaluation.

    seeds: of the noise, one for each question, or one for each imagined view of a single question.
    flow_steps: wanted steps, None is the checkpoint's own number. Run in several modes, it reads
    only once what these share.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        asked: Sequence[Prepared],
        clock: Clock,
        seeds: Sequence[int],
        flow_steps: int | None,
    ) -> None:
        self.loaded, self.clock = loaded, clock
        self.asked = list(asked)
        self.seeds = list(seeds)
        self.turn = Turn(loaded, self.asked, clock, self.seeds)
        self.wanted_steps = flow_steps or loaded.style.flow.points - 1

    def run(self, mode: Mode) -> list[Answer]:
        """The answers in this mode; for AUTO in the first that fits."""
        modes = self._preferred() if mode is Mode.AUTO else [mode]
        answers = self._first_that_fits(modes)
        # A refusal measures nothing, so unlucky estimates would refuse for ever.
        if answers is None and self.clock.costs.retry_due():
            self.clock.retrying = True
            answers = self._first_that_fits(modes[-1:])
        if answers is None:
            places = range(len(self.asked))
            return [self._finish(k, modes[-1], Outcome.OUT_OF_BUDGET) for k in places]
        if self.clock.left_s() >= 0:
            self.clock.costs.kept()
        return answers

    def _first_that_fits(self, modes: Sequence[Mode]) -> list[Answer] | None:
        for mode in modes:
            with contextlib.suppress(OutOfBudget):
                return self._answer(mode)
        return None

    def _preferred(self) -> list[Mode]:
        """What AUTO may choose from, best first. Where enough of the view was seen, nothing of it
        needs to be drawn."""
        question = self.asked[0].question
        drawable = self.loaded.codec is not None and self.asked[0].drawable
        order = self.loaded.style.preferred(question.task, question.share_seen)
        modes = [m for m in order if m is not Mode.IMAGINE or drawable]
        return modes or [Mode.ANSWER]

    def _answer(self, mode: Mode) -> list[Answer]:
        clock, turn = self.clock, self.turn
        clock.tell("preprocess", 0.0)
        prompt_tokens = self.asked[0].tokens(mode) * len(self.asked)
        with clock.stage("preprocess"):
            turn.resize()
            turn.recall(mode)
        steps = self._plan(mode, prompt_tokens)
        clock.tell("context", 0.05)
        # After a mode that was given up the pictures are known: what that takes is not learned.
        cost = _context_cost(mode) if turn.unread else ""
        with clock.stage("context", cost, prompt_tokens):
            contexts = turn.read(mode)
        context, drawn = contexts.main, None
        thoughts = [Thought("")] * len(self.asked)
        if mode is Mode.IMAGINE:
            clock.tell("think", 0.1)
            with clock.stage("imagine", self._think_cost()):
                thoughts = turn.think(contexts)
            drawn = turn.draw(contexts, steps, self.seeds, self._tail_s())
            clock.tell("look", 0.85, drawn.arrays[0])
            with clock.stage("imagine", "look", self._view_tokens):
                context = turn.look(contexts, drawn)
        elif mode in SHOWING:
            with clock.stage("context", "show", self._shown_tokens(mode)):
                thoughts = turn.show_view(contexts, mode)
        cost, size = self.asked[0].answer_cost(context.batch)
        clock.require(clock.expect(cost, size))
        clock.tell("answer", 0.9)
        with clock.stage("answer", cost, size):
            replies = turn.answer(context, mode)
        each = len(replies) // len(self.asked)
        answers = []
        for k, thought in enumerate(thoughts):
            own = slice(k * each, (k + 1) * each)
            if thought.fits:
                done = self._finish(k, mode, _outcome(replies[own]), thought, drawn, replies[own])
            else:
                alone = [self.asked[k]], clock, [self.seeds[k]], self.wanted_steps
                (done,) = Answering(self.loaded, *alone).run(mode)
            answers.append(done)
        return answers

    # -- budget
    def _plan(self, mode: Mode, prompt_tokens: int) -> int:
        """Flow steps that fit, 0 when nothing is drawn; OutOfBudget when too little fits."""
        clock = self.clock
        before = clock.expect(_context_cost(mode), prompt_tokens)
        if mode is not Mode.IMAGINE:
            if mode in SHOWING:
                before += clock.expect("show", self._shown_tokens(mode))
            clock.require(before + self._answer_s(len(self.asked)))
            return 0
        before += clock.expect(self._think_cost(), 1)
        if self.asked[0].question.recalled is not None:
            before += clock.expect("hold", self.asked[0].view_tokens * len(self.asked))
        left = clock.left_s() - before - self._tail_s()
        least = min(self.loaded.style.flow.min_steps, self.wanted_steps)
        step_s = clock.expect("step", self.turn.step_size(len(self.seeds)))
        if left < least * step_s:
            raise OutOfBudget
        if not clock.budgeted or step_s == 0.0:
            return self.wanted_steps
        return max(least, min(self.wanted_steps, int(left / step_s)))

    def _tail_s(self) -> float:
        """What follows the last flow step."""
        size, expect = self._view_tokens, self.clock.expect
        return expect("decode", size) + expect("look", size) + self._answer_s(len(self.seeds))

    def _answer_s(self, entries: int) -> float:
        return self.clock.expect(*self.asked[0].answer_cost(entries))

    def _think_cost(self) -> str:
        """Reading a given thought takes far less than writing one."""
        own = any(one.question.think is None for one in self.asked)
        return "write thought" if own else "read thought"

    @property
    def _view_tokens(self) -> int:
        """Of all views that are drawn."""
        return self.asked[0].view_tokens * len(self.seeds)

    def _shown_tokens(self, mode: Mode) -> int:
        """Of all views that are shown in place of drawings."""
        return self.asked[0].shown_tokens(mode) * len(self.asked)

    # -- the answer
    def _finish(
        self,
        place: int,
        mode: Mode,
        outcome: Outcome,
        thought: Thought | None = None,
        drawn: Drawn | None = None,
        replies: Sequence[Reply] = (),
    ) -> Answer:
        question = self.asked[place].question
        own = slice(place * len(replies), (place + 1) * len(replies))
        read = [r for r in replies if r.reading.outcome is Outcome.ANSWERED]
        probabilities: tuple[float, ...] = ()
        text = read[0].reading.text if read else ""
        if read and question.options:
            columns = zip(*(r.probabilities for r in read), strict=True)
            probabilities = tuple(sum(column) / len(read) for column in columns)
            text = question.options[probabilities.index(max(probabilities))]
        spoken = read[0] if read else (replies[0] if replies else None)
        masses = [r.mass for r in replies if r.mass is not None]
        if masses and max(masses) < NO_MASS:
            warnings.warn(
                f"{self.loaded.style.model_id}: almost no probability on any of the options; is "
                "this checkpoint asked in its own style? See `ipt-style list` and docs/model.md",
                stacklevel=2,
            )
        seconds = self.clock.seconds
        return Answer(
            outcome=outcome,
            text=text,
            option_probabilities=probabilities,
            imagined_views=drawn.arrays[own] if drawn else (),
            times=StageTimes(
                preprocess_s=seconds.get("preprocess", 0.0),
                context_s=seconds.get("context", 0.0),
                imagine_s=seconds.get("imagine", 0.0),
                answer_s=seconds.get("answer", 0.0),
                total_s=self.clock.elapsed_s(),
            ),
            provenance=Provenance(
                model_id=self.loaded.style.model_id,
                model_hash=self.loaded.model_hash,
                seed=self.seeds[place],
                flow_steps=drawn.steps if drawn else 0,
                mode=mode,
                flow_steps_done=drawn.steps_done if drawn else 0,
            ),
            probabilities_by_view=tuple(r.probabilities for r in replies) if drawn else (),
            think=thought.text if thought else "",
            reply=(thought.written if thought else "") + (spoken.text if spoken else ""),
            option_mass=sum(masses) / len(masses) if masses else None,
            raw_views=drawn.raw_arrays[own] if drawn else (),
            unheld=drawn.unheld[place] if drawn and drawn.unheld else None,
            share_seen=question.share_seen,
        )


#: A checkpoint that gives less than this to all options together wants to say something else.
NO_MASS = 0.01


def _context_cost(mode: Mode) -> str:
    return "context" if mode is Mode.ANSWER else "guided context"


def _outcome(replies: Sequence[Reply]) -> Outcome:
    """ANSWERED if any reply could be read; the others show in `probabilities_by_view`."""
    read = any(r.reading.outcome is Outcome.ANSWERED for r in replies)
    return Outcome.ANSWERED if read else Outcome.UNPARSABLE

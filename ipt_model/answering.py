"""One question from start to end: which mode, how many flow steps, and the `Answer` that comes of
it.

Budgets are kept here: what will not fit is not begun, by the costs measured on this machine; AUTO
then goes on to its next mode. The stages themselves are `Turn`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from .clock import Clock, OutOfBudget
from .drawing import Drawn
from .loading import LoadedModel
from .question import Answer, Mode, Outcome, Provenance, Question, StageTimes
from .turn import Reply, Turn


class Answering:
    """One `ask`. flow_steps: wanted steps, None is the checkpoint's own number."""

    def __init__(
        self,
        loaded: LoadedModel,
        question: Question,
        clock: Clock,
        seed: int,
        k: int,
        flow_steps: int | None,
    ) -> None:
        self.loaded, self.question, self.clock = loaded, question, clock
        self.seed, self.k = seed, k
        self.wanted_steps = flow_steps or loaded.recipe.flow.points - 1

    def run(self, mode: Mode) -> Answer:
        """The answer in this mode; for AUTO in the first that fits."""
        modes = self._preferred() if mode is Mode.AUTO else [mode]
        answer = self._first_that_fits(modes)
        # A refusal measures nothing, so unlucky estimates would refuse for ever.
        if answer is None and self.clock.costs.retry_due():
            self.clock.retrying = True
            answer = self._first_that_fits(modes[-1:])
        if answer is None:
            return self._finish(modes[-1], Outcome.OUT_OF_BUDGET)
        if self.clock.left_s() >= 0:
            self.clock.costs.kept()
        return answer

    def _first_that_fits(self, modes: Sequence[Mode]) -> Answer | None:
        for mode in modes:
            with contextlib.suppress(OutOfBudget):
                return self._answer(mode)
        return None

    def _preferred(self) -> list[Mode]:
        """What AUTO may choose from, best first."""
        drawable = self.loaded.codec is not None and bool(
            self.question.images or self.question.view_size
        )
        order = self.loaded.recipe.preferred(self.question.task)
        modes = [m for m in order if m is not Mode.IMAGINE or drawable]
        return modes or [Mode.ANSWER]

    def _answer(self, mode: Mode) -> Answer:
        clock, draws = self.clock, mode is not Mode.ANSWER
        clock.tell("preprocess", 0.0)
        turn = Turn(self.loaded, self.question, clock, draws=draws)
        steps = self._plan(turn, mode)
        clock.tell("context", 0.05)
        with clock.stage("context", _context_cost(draws), turn.prompt_tokens):
            contexts = turn.read()
        drawn = None
        if mode is Mode.IMAGINE:
            clock.tell("think", 0.1)
            with clock.stage("imagine", self._think_cost()):
                turn.think(contexts)
            drawn = turn.draw(contexts, steps, self.seed, self.k, self._tail_s(turn))
            clock.tell("look", 0.85, drawn.first)
            with clock.stage("imagine", "look", turn.view_tokens * self.k):
                context = turn.look(contexts, drawn)
        else:
            context = contexts.main
            if mode is Mode.GIVEN and self.question.given_view is not None:
                with clock.stage("context", "given"):
                    turn.show_given(contexts, self.question.given_view)
        cost, size = turn.answer_cost(context.batch)
        clock.require(clock.expect(cost, size))
        clock.tell("answer", 0.9)
        with clock.stage("answer", cost, size):
            replies = turn.answer(context, mode)
        return self._finish(mode, _outcome(replies), turn, drawn, replies)

    # -- budget
    def _plan(self, turn: Turn, mode: Mode) -> int:
        """Flow steps that fit, 0 when nothing is drawn; OutOfBudget when too little fits."""
        clock = self.clock
        before = clock.expect(_context_cost(turn.draws), turn.prompt_tokens)
        if mode is not Mode.IMAGINE:
            given = clock.expect("given", 1) if mode is Mode.GIVEN else 0.0
            clock.require(before + given + clock.expect(*turn.answer_cost(1)))
            return 0
        before += clock.expect(self._think_cost(), 1)
        left = clock.left_s() - before - self._tail_s(turn)
        least = min(self.loaded.recipe.flow.min_steps, self.wanted_steps)
        step_s = clock.expect("step", turn.step_size(self.k))
        if left < least * step_s:
            raise OutOfBudget
        if not clock.budgeted or step_s == 0.0:
            return self.wanted_steps
        return max(least, min(self.wanted_steps, int(left / step_s)))

    def _tail_s(self, turn: Turn) -> float:
        """What follows the last flow step."""
        size = turn.view_tokens * self.k
        expect = self.clock.expect
        answer = expect(*turn.answer_cost(self.k))
        return expect("decode", size) + expect("look", size) + answer

    def _think_cost(self) -> str:
        """Reading a given thought takes far less than writing one."""
        return "write thought" if self.question.think is None else "read thought"

    # -- the answer
    def _finish(
        self,
        mode: Mode,
        outcome: Outcome,
        turn: Turn | None = None,
        drawn: Drawn | None = None,
        replies: Sequence[Reply] = (),
    ) -> Answer:
        read = [r for r in replies if r.reading.outcome is Outcome.ANSWERED]
        probabilities: tuple[float, ...] = ()
        text = read[0].reading.text if read else ""
        if read and self.question.options:
            columns = zip(*(r.probabilities for r in read), strict=True)
            probabilities = tuple(sum(column) / len(read) for column in columns)
            text = self.question.options[probabilities.index(max(probabilities))]
        spoken = read[0] if read else (replies[0] if replies else None)
        masses = [r.mass for r in replies if r.mass is not None]
        seconds = self.clock.seconds
        return Answer(
            outcome=outcome,
            text=text,
            option_probabilities=probabilities,
            imagined=drawn.arrays if drawn else (),
            times=StageTimes(
                preprocess_s=seconds.get("preprocess", 0.0),
                context_s=seconds.get("context", 0.0),
                imagine_s=seconds.get("imagine", 0.0),
                answer_s=seconds.get("answer", 0.0),
                total_s=self.clock.elapsed_s(),
            ),
            provenance=Provenance(
                model_id=self.loaded.recipe.model_id,
                model_hash=self.loaded.model_hash,
                seed=self.seed,
                flow_steps=drawn.steps if drawn else 0,
                mode=mode,
                flow_steps_done=drawn.steps_done if drawn else 0,
            ),
            per_imagination=tuple(r.probabilities for r in replies) if drawn else (),
            think=turn.thought if turn else "",
            reply=(turn.written if turn else "") + (spoken.text if spoken else ""),
            option_mass=sum(masses) / len(masses) if masses else None,
        )


def _context_cost(draws: bool) -> str:
    return "guided context" if draws else "context"


def _outcome(replies: Sequence[Reply]) -> Outcome:
    """ANSWERED if any reply could be read; the others show in `per_imagination`."""
    read = any(r.reading.outcome is Outcome.ANSWERED for r in replies)
    return Outcome.ANSWERED if read else Outcome.UNPARSABLE

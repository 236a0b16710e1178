"""Asks the examples of a dataset as the robot asks its questions, those of one layout at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from ipt_model.asking.imaginer import Imaginer
from ipt_model.asking.prepared import Prepared
from ipt_model.question import Answer, Mode, Question
from ipt_model.weights.loading import LoadedModel
from ipt_training.example import Example

MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.RECALL, Mode.GIVEN)


def modes_of(question: Question, modes: Iterable[Mode]) -> tuple[Mode, ...]:
    """Those of the modes that it can be asked in: nothing is recalled where nothing was seen, and
    no true view shown where nobody knows it."""
    without = {Mode.RECALL: question.recalled is None, Mode.GIVEN: question.true_view is None}
    return tuple(m for m in modes if not without.get(m))


class BatchAsker:
    """Asks one loaded model. batch: examples at once. flow_steps: None is the checkpoint's own.

    seed: example number n is drawn from the noise of seed + n.
    """

    def __init__(
        self, loaded: LoadedModel, batch: int = 32, flow_steps: int | None = None, seed: int = 0
    ) -> None:
        self.loaded, self.batch, self.seed = loaded, batch, seed
        self.steps = flow_steps or loaded.style.flow.points - 1
        self.imaginer = Imaginer(loaded)

    def ask(
        self, examples: Sequence[Example], modes: Iterable[Mode] = MODES, first: int = 0
    ) -> Iterator[tuple[int, dict[Mode, Answer]]]:
        """Every example in every mode that it can be asked in, in an order of layout; (its place
        in `examples`, answers).

        first: the number of examples[0], for the noise.
        """
        modes = tuple(modes)
        groups: dict[tuple[tuple[Mode, ...], Hashable], list[tuple[int, Prepared]]] = {}
        for place, example in enumerate(examples):
            shown = example.asked
            asked = self.imaginer.prepare(shown)
            own = modes_of(shown, modes)
            groups.setdefault((own, asked.layout(own)), []).append((place, asked))
        for (own, _), members in groups.items():
            for start in range(0, len(members), self.batch):
                places, some = zip(*members[start : start + self.batch], strict=True)
                seeds = [self.seed + first + place for place in places]
                answers = self.imaginer.ask_together(some, own, seeds, self.steps)
                yield from zip(places, answers, strict=True)

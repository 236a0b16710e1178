"""Where showings come from: rows of a dataset, epoch after epoch, or examples made on the fly.

A source answers "what is showing number n of this run?" and nothing else. The answer depends on
the number alone, so processes share the work by taking every w-th number, and a run goes on where
it stopped by counting on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ipt_model.network.vae import LatentCodec
from ipt_model.question import Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.wording.prompts import PromptStyle
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.plan import DatasetPlan, Slots
from ipt_training.datasets.schema import Row, decode_image
from ipt_training.datasets.supervision import (
    Sample,
    Supervision,
    has_picture,
    supervise,
    supervise_row,
)
from ipt_training.example import Example
from ipt_training.feed.latents import LatentStore, encode_pictures
from ipt_training.feed.own_views import OwnView, OwnViews
from ipt_training.feed.sequences import Showing, needs_latents, pictures_of

#: What a drawn picture adds to a showing, in input pictures: its noised copies and the clean one.
DRAWN_SIZE = 3


class Source(Protocol):
    """Showings by number."""

    def show(self, number: int) -> Showing: ...

    def reading(self, number: int, k: int) -> Showing:
        """Reading k of the example of a showing: one of its views is in the context, and nothing
        is drawn."""
        ...

    def name(self, number: int) -> str:
        """What a person finds this showing by."""
        ...

    def size(self, number: int) -> int:
        """How long a showing is beside the others of the source, in pictures; 0 where nobody
        knows before it is made."""
        ...


class RowSource:
    """Rows in a new shuffled order each epoch. Under `mixed` a row draws in one epoch and only
    answers in the next; under `ipt_wrong` it always has the same wrong view. Where `own` has views
    of a row, a share `own_share` of its showings that draw, and of its readings, answers from
    one of them."""

    #: How far from each other copies of a row stand in an epoch, at most.
    NEAR = 1024

    def __init__(
        self,
        dataset: Dataset,
        supervision: Supervision,
        style: PromptStyle,
        seed: int,
        latents: LatentStore,
        tasks: tuple[str, ...] = (),
        in_memory: bool = False,
        own: OwnViews | None = None,
        own_share: float = 0.5,
        repeat: Mapping[str, int] | None = None,
    ) -> None:
        self.dataset, self.supervision, self.style, self.seed = dataset, supervision, style, seed
        self.latents, self.own, self.own_share = latents, own, own_share
        self._memory: dict[int, Row] | None = {} if in_memory else None
        kinds = dataset.column("task")
        pictures = dataset.column("num_input_images")
        self._pictures = np.array([count or 0 for count in pictures], np.int64)
        self.kept = np.array([not tasks or kind in tasks for kind in kinds], bool)
        if not self.kept.any():
            raise ValueError(f"{dataset.path}: no row of the tasks {list(tasks)}")
        times = [(repeat or {}).get(str(kind), 1) for kind in kinds]
        self.times = np.where(self.kept, times, 0)
        self.rows_per_epoch = int(self.times.sum())
        self._partners = _other_views(dataset, self.kept) if supervision == "ipt_wrong" else None
        self._coin = np.random.default_rng([seed, 0xD]).integers(0, 2, len(dataset))
        self._epoch = -1
        self._order = np.empty(0, np.int64)
        self._read: tuple[int, Sample] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay behind when a loading process takes the source over."""
        state = dict(self.__dict__)
        state["dataset"] = self.dataset.path
        state["_memory"] = None if self._memory is None else {}
        state["_read"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dataset = Dataset(state["dataset"], ignore_unknown=True)

    def name(self, number: int) -> str:
        return f"row {self._place(number)[0]}"

    def size(self, number: int) -> int:
        row, epoch = self._place(number)
        draws = has_picture(self.supervision, self._draws(row, epoch))
        return int(self._pictures[row]) + (DRAWN_SIZE if draws else 0)

    def _draws(self, row: int, epoch: int) -> bool:
        return bool((self._coin[row] + epoch) % 2)

    def _place(self, number: int) -> tuple[int, int]:
        """Row and epoch of a showing."""
        epoch, place = divmod(number, self.rows_per_epoch)
        if epoch != self._epoch:
            order = np.fromiter(self.dataset.shuffled(self.seed + epoch), np.int64)
            self._order, self._epoch = self._repeated(order, epoch), epoch
        return int(self._order[place]), epoch

    def _repeated(self, order: np.ndarray, epoch: int) -> np.ndarray:
        """Every row as often as its task is shown, its copies a few hundred places apart: rows of
        one file stay near each other, so files are not opened again and again."""
        order = np.repeat(order, self.times[order])
        if self.times.max() > 1:
            chance = np.random.default_rng([self.seed, epoch, 0x4E9])
            for first in range(0, len(order), self.NEAR):
                chance.shuffle(order[first : first + self.NEAR])
        return order

    def show(self, number: int) -> Showing:
        row, epoch = self._place(number)
        wrong = None
        partner = row
        if self._partners is not None:
            partner = int(self._partners[row])
            wrong = decode_image(self._row(partner).drawn[0])
        sample = supervise_row(
            self._row(row),
            self.supervision,
            self.style,
            draw=self._draws(row, epoch),
            wrong=wrong,
        )
        needed = needs_latents(sample)
        if not any(needed):
            return Showing(number, sample, (None,) * len(needed))
        latents = list(self.latents[row])
        if partner != row:
            latents[-1] = self.latents[partner][-1]
        kept = tuple(z if n else None for z, n in zip(latents, needed, strict=False))
        own = self._own_view(row, (number, 0x0E)) if sample.flow_loss else None
        return Showing(number, sample, kept, own)

    def reading(self, number: int, k: int) -> Showing:
        row, _ = self._place(number)
        if self._read is None or self._read[0] != row:  # all readings of a row in a row
            self._read = row, supervise_row(self._row(row), "given", self.style)
        sample = self._read[1]
        latents = (*(None for _ in sample.inputs), self.latents[row][-1])
        return Showing(number, sample, latents, self._own_view(row, (number, 0x4EAD, k)))

    def _own_view(self, row: int, which: tuple[int, ...]) -> OwnView | None:
        views = self.own.of(row) if self.own is not None else []
        chance = np.random.default_rng([self.seed, *which])
        if not views or chance.random() >= self.own_share:
            return None
        return views[int(chance.integers(len(views)))]

    def _row(self, index: int) -> Row:
        if self._memory is None:
            return self.dataset[index]
        if index not in self._memory:
            self._memory[index] = self.dataset[index]
        return self._memory[index]


class FreshSource:
    """Examples made for this run alone, each shown once; latents are encoded when asked for."""

    def __init__(
        self,
        plan: DatasetPlan,
        supervision: Supervision,
        style: AskingStyle,
        codec: Callable[[], LatentCodec],
    ) -> None:
        if plan.split != "train":
            raise ValueError(f"fresh: expected split 'train', got {plan.split!r}")
        self.plan, self.supervision, self.style, self.codec = plan, supervision, style, codec
        self._slots: Slots | None = None
        self._encoder: LatentCodec | None = None

    def name(self, number: int) -> str:
        return f"fresh example {number % self.plan.count}"

    def size(self, number: int) -> int:
        return 0

    def show(self, number: int) -> Showing:
        example = self._example(number)
        wrong = self._another_view(number) if self.supervision == "ipt_wrong" else None
        draw = bool(np.random.default_rng([self.plan.seed, number, 0xD]).integers(2))
        sample = supervise(example, self.supervision, self.style.prompt, draw=draw, wrong=wrong)
        return Showing(number, sample, self._latents(sample))

    def reading(self, number: int, k: int) -> Showing:
        sample = supervise(self._example(number), "given", self.style.prompt)
        view = replace(sample, inputs=(), vae_inputs=False)
        latents = (*(None for _ in sample.inputs), *self._latents(view))
        return Showing(number, sample, latents)

    def _example(self, number: int) -> Example:
        from ipt_training.datasets.generate import make_example
        from ipt_training.tasks.sampling import Rejections

        if self._slots is None:
            self._slots = self.plan.slots()
        return make_example(self.plan, self._slots, number % self.plan.count, Rejections())

    def _another_view(self, number: int) -> np.ndarray:
        """The view of the next example of the same task."""
        assert self._slots is not None
        task: Task = self._slots[number % self.plan.count][0]
        other = number + 1
        while self._slots[other % self.plan.count][0] is not task:
            other += 1
        return self._example(other).true_view

    def _latents(self, sample: Sample) -> tuple[Tensor | None, ...]:
        needed = needs_latents(sample)
        if not any(needed):
            return (None,) * len(needed)
        if self._encoder is None:
            self._encoder = self.codec()
        pictures = [p for p, n in zip(pictures_of(sample), needed, strict=True) if n]
        found = iter(encode_pictures(self._encoder, pictures, self.style))
        return tuple(next(found) if n else None for n in needed)


class MixedSource:
    """Several sources by turns. shares: of the showings, by source; they add up to 1."""

    #: Showings in which every source has its share; the order within is dealt by chance.
    BLOCK = 120

    def __init__(self, sources: Sequence[Source], shares: Sequence[float], seed: int) -> None:
        self.sources, self.seed = list(sources), seed
        edges = np.round(self.BLOCK * np.cumsum(shares)).astype(int)
        self.counts = np.diff(edges, prepend=0)
        if edges[-1] != self.BLOCK or (self.counts < 1).any():
            raise ValueError(
                f"expected shares of at least {1 / self.BLOCK:.3f} that add up to 1, "
                f"got {list(shares)}"
            )
        self._block = -1
        self._whose = self._place = np.empty(0, np.int64)

    def show(self, number: int) -> Showing:
        source, own = self._turn(number)
        return replace(source.show(own), number=number)

    def reading(self, number: int, k: int) -> Showing:
        source, own = self._turn(number)
        return replace(source.reading(own, k), number=number)

    def name(self, number: int) -> str:
        source, own = self._turn(number)
        return f"source {self.sources.index(source)}, {source.name(own)}"

    def size(self, number: int) -> int:
        source, own = self._turn(number)
        return source.size(own)

    def _turn(self, number: int) -> tuple[Source, int]:
        """Whose turn it is, and which of its showings."""
        block, place = divmod(number, self.BLOCK)
        if block != self._block:
            order = np.repeat(np.arange(len(self.counts)), self.counts)
            np.random.default_rng([self.seed, block, 0x313]).shuffle(order)
            self._whose, self._place = order, np.zeros(self.BLOCK, np.int64)
            for k, count in enumerate(self.counts.tolist()):
                self._place[order == k] = block * count + np.arange(count)
            self._block = block
        return self.sources[self._whose[place]], int(self._place[place])


def _other_views(dataset: Dataset, kept: np.ndarray) -> np.ndarray:
    """For every row another one of the same task: the next in the file, the last takes the
    first's."""
    tasks = dataset.column("task")
    members: dict[object, list[int]] = {}
    for row in np.flatnonzero(kept).tolist():
        members.setdefault(tasks[row], []).append(row)
    partners = np.arange(len(tasks))
    for task, rows in members.items():
        if len(rows) < 2:
            raise ValueError(f"ipt_wrong: {task} has a single example, there is no other view")
        partners[rows] = np.roll(rows, -1)
    return partners

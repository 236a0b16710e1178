"""What one optimiser step needs, prepared ahead: this process's share of the step's showings as
packed batches.

A step's content depends on its number, the number of processes and nothing else, so a data loader
may prepare steps in any process and in any order, and a resumed run asks for the next one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ipt_model.network.config import BagelConfig
from ipt_training.feed.sequences import SequenceMaker
from ipt_training.feed.sources import Source
from ipt_training.finetune.losses import TrainingBatch, make_batch, micro_batches
from ipt_training.processes import signals_held
from ipt_training.recipe.settings import TrainingRecipe

#: Room below the seeds of training for those of validation and exercises.
EXERCISE_NUMBERS = 1 << 40


class StepMaker(Dataset[list[TrainingBatch]]):
    """`maker[step]` is the list of batches that this process runs in that step."""

    def __init__(
        self,
        settings: TrainingRecipe,
        config: BagelConfig,
        source: Source,
        maker: SequenceMaker,
        rank: int = 0,
        world_size: int = 1,
        words: tuple[str, ...] = (),
    ) -> None:
        self.settings, self.config, self.source, self.maker = settings, config, source, maker
        self.rank, self.world_size, self.words = rank, world_size, words

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> list[TrainingBatch]:
        examples = self.settings.batch.examples
        numbers = range(step * examples, (step + 1) * examples)
        mine = dealt([self.source.size(n) for n in numbers], self.rank, self.world_size)
        showings = [self.source.show(numbers[k]) for k in mine]
        loss = self.settings.loss
        shown = [] if loss.looks_only else showings
        sequences = [one for s in shown for one in self.maker.sequences(s)]
        looks = [self.maker.look_exercise(s, k) for s in showings for k in range(loss.looks)]
        sequences += [one for one in looks if one is not None]
        sequences += [
            self.maker.reading_exercise(self.source.reading(numbers[n], k), k)
            for n in mine
            for k in range(loss.reads)
        ]
        exercises = loss.letter_exercises
        first = EXERCISE_NUMBERS + step * exercises
        sequences += [
            self.maker.letter_exercise(n, self.words)
            for n in range(first, first + exercises)[self.rank :: self.world_size]
        ]
        batches = []
        for group in micro_batches(sequences, self.settings.batch.tokens):
            fillers = int(self.world_size > 1 and self.settings.draws_pictures)
            group = group + [self.maker.filler()] * fillers
            batches.append(make_batch(group, self.config, loss.weighting, fillers))
        return batches or [self.filler()]

    def filler(self) -> TrainingBatch:
        """A batch that touches every weight and counts nothing."""
        return make_batch([self.maker.filler()], self.config, fillers=1)


def dealt(sizes: Sequence[int], rank: int, world_size: int) -> list[int]:
    """Which showings of a step a process takes: the longest are dealt first, to and fro, for all
    wait for the one that has most to do."""
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], k))
    turns = (rank, 2 * world_size - 1 - rank)
    return sorted(k for place, k in enumerate(order) if place % (2 * world_size) in turns)


def loader(steps: StepMaker, first: int, workers: int) -> Iterator[list[TrainingBatch]]:
    """Steps from `first` on, prepared by `workers` processes (0: by this one, when asked for)."""
    more: dict[str, Any] = {}
    if workers:
        # Forked from a server that never held a GPU, open3d or tokenizers, all of which hang when
        # forked. It imports once; spawned workers would each, and one after the other, because a
        # source is more than a pipe holds: a worker reads it only when it is awake.
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        more = {"multiprocessing_context": context, "prefetch_factor": 2}
    batches = DataLoader(
        steps,
        batch_size=None,
        sampler=range(first, len(steps)),
        num_workers=workers,
        worker_init_fn=_one_thread,
        **more,
    )
    # a terminal or a service manager tells every process to stop; this one ends the others, after
    # the step under way and its checkpoint
    with signals_held(signal.SIGINT, signal.SIGTERM):
        return iter(batches)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)

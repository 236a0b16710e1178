"""What a dataset consists of, decided before any of it is made: which example is of which kind.

In: the options of the command. Out: for every index the task and the `Wanted`; balanced exactly
over variants, sub-categories and answer positions, and the same whatever the number of workers or
shards.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from ipt_model.question import Task
from ipt_training.scenes.scene import LEVELS
from ipt_training.scenes.splits import SPLITS, seeds_of
from ipt_training.tasks import TASKS, task_module
from ipt_training.tasks.sampling import Wanted

#: Changes whenever equal options would give other examples.
DATA_VERSION = 2
MAX_COUNT = 50_000_000
BYTES_PER_SHARD = 96_000_000


#: A variant, and from and to below which share of the asked view is to be seen.
Kind = tuple[str, tuple[float, float] | None]


class PlanError(ValueError):
    """The options ask for a dataset that cannot be; the message says what was given and what is
    possible.
    """


@dataclass(frozen=True)
class DatasetPlan:
    """Everything that decides the bytes of a dataset.

    tasks: task name to its share. variants: empty for all plain ones, else names of those to make.
    size_px: side of the pictures. seed: of the whole dataset; the houses still come from the
    split.
    """

    count: int
    size_px: int = 128
    tasks: tuple[tuple[str, float], ...] = tuple((t.value, 1.0) for t in TASKS)
    variants: tuple[str, ...] = ()
    split: str = "train"
    level: str = "room"
    seed: int = 0
    shards: int = 0
    image_format: str = "png"
    version: int = DATA_VERSION

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise PlanError(f"count: expected 1 to {MAX_COUNT}, got {self.count}")
        if not 16 <= self.size_px <= 2048:
            raise PlanError(f"size: expected 16 to 2048 pixels, got {self.size_px}")
        if self.level not in LEVELS:
            raise PlanError(f"level: expected one of {', '.join(LEVELS)}, got {self.level!r}")
        if self.seed < 0:
            raise PlanError(f"seed: expected 0 or more, got {self.seed}")
        names = [name for name, _ in self.tasks]
        known = [t.value for t in TASKS]
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise PlanError(f"tasks: expected some of {', '.join(known)}, each once, got {names}")
        if any(not 0 < share < math.inf for _, share in self.tasks):
            raise PlanError(f"tasks: every share must be positive, got {dict(self.tasks)}")
        if not 0 <= self.shards <= self.count:
            raise PlanError(f"shards: expected 0 (choose) to {self.count}, got {self.shards}")
        seeds_of(self.split)
        for name in names:
            self.variants_of(name)

    def variants_of(self, task: str) -> tuple[str, ...]:
        """The variants of a task that this plan makes."""
        module = task_module(task)
        plain: tuple[str, ...] = module.VARIANTS
        if not self.variants:
            return plain
        kept = tuple(v for v in (*plain, *module.MORE_VARIANTS) if v in self.variants)
        if not kept:
            raise PlanError(
                f"variants: {task} has {', '.join((*plain, *module.MORE_VARIANTS))}, none of "
                f"which is among {', '.join(self.variants)}"
            )
        return kept

    def kinds_of(self, task: str) -> tuple[Kind, ...]:
        """Each variant that this plan makes, and where the robot remembers something, each with
        every share that it may have seen.
        """
        module = task_module(task)
        shares: tuple[tuple[float, float], ...] = module.SHARES
        impossible = getattr(module, "IMPOSSIBLE", ())
        return tuple(
            (variant, share)
            for variant in self.variants_of(task)
            for share in (shares if "memory" in variant.split("+") else (None,))
            if not any((part, share) in impossible for part in variant.split("+"))
        )

    @property
    def shard_count(self) -> int:
        """As asked, or enough for 16 workers and to keep a shard below about 100 MB.

        Never by the number of workers: equal options give equal files.
        """
        if self.shards:
            return self.shards
        per_example = 4 * (self.size_px**2) * 1.4  # four pictures of noisy floors as PNG
        by_size = math.ceil(self.count * per_example / BYTES_PER_SHARD)
        return max(1, by_size, min(16, self.count // 100))

    def shard_range(self, shard: int) -> range:
        """The example indices of a shard."""
        edge = [self.count * k // self.shard_count for k in (shard, shard + 1)]
        return range(edge[0], edge[1])

    def shard_name(self, shard: int) -> str:
        return f"{self.split}-{shard:05d}-of-{self.shard_count:05d}.parquet"

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "tasks": dict(self.tasks), "variants": list(self.variants)}

    def digest(self) -> str:
        """A name for these options; shards of another digest are not mixed in."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def slots(self) -> Slots:
        return Slots(self)


class Slots:
    """The task and the `Wanted` of every index of a plan."""

    def __init__(self, plan: DatasetPlan) -> None:
        self.plan = plan
        names = [name for name, _ in plan.tasks]
        shares = np.array([share for _, share in plan.tasks])
        shares = shares / shares.sum()
        self._names = names
        self._which = _in_turn(shares, plan.count)
        self._rank = np.zeros(plan.count, np.int64)
        for k in range(len(names)):
            members = np.flatnonzero(self._which == k)
            self._rank[members] = np.arange(len(members))

    def __getitem__(self, index: int) -> tuple[Task, Wanted]:
        name = self._names[int(self._which[index])]
        module = task_module(name)
        kinds = self.plan.kinds_of(name)
        subcategories, positions = module.SUBCATEGORIES, module.OPTION_COUNT
        block = len(kinds) * len(subcategories) * positions
        rank = int(self._rank[index])
        # each block holds every combination once, in an order of its own
        key = [self.plan.seed, index_of_task(name), rank // block]
        place = int(np.random.default_rng(key).permutation(block)[rank % block])
        place, position = divmod(place, positions)
        kind, subcategory = divmod(place, len(subcategories))
        variant, share_seen = kinds[kind]
        split = list(SPLITS).index(self.plan.split)  # type: ignore[arg-type]
        draw = np.random.default_rng([self.plan.seed, split, index, 0xD7]).integers(2**62)
        return Task(name), Wanted(
            variant=variant,
            subcategory=subcategories[subcategory],
            answer_position=position,
            draw=int(draw),
            share_seen=share_seen,
        )


def index_of_task(name: str) -> int:
    return [t.value for t in TASKS].index(name)


def _in_turn(shares: np.ndarray, count: int) -> np.ndarray:
    """For every index the task that lags furthest behind its share: no stretch of the data lacks
    one.
    """
    which = np.empty(count, np.int64)
    owed = np.zeros(len(shares))
    for i in range(count):
        owed += shares
        which[i] = int(owed.argmax())
        owed[which[i]] -= 1
    return which

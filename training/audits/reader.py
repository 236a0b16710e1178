"""A small network of its own that answers questions from pictures: the ruler of `well_posed`.

In: `Case`s: pictures, what is asked as bare words and numbers, the options. Out: for every test
case whether it was answered rightly. It shares nothing with the model that is being built, no
weights, no words and no drawing, so what it cannot read is not to be blamed on that model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag

#: Pictures are brought to this side; a picture of another size is averaged or enlarged.
SIDE_PX = 64
CHANNELS, FILTERS, HIDDEN = 24, 6, 64
#: Cells a side of the coarse picture that tells where things are.
COARSE = 8


@dataclass(frozen=True)
class Case:
    """One question as the network sees it.

    pictures: H x W x 3 uint8 each. asked: the facts of the question in words. numbers: those in
    numbers, about 1 in size. things: whether the options name things that may be looked for.
    colours: what words of colour look like, RGB 0-255, so that they need not be learned.
    turned: whether the answer is the same for pictures turned by quarters or mirrored. mirrored:
    'same' or 'swap' where only mirroring is allowed, and whether it swaps the two options.
    """

    pictures: tuple[np.ndarray, ...]
    asked: tuple[str, ...]
    numbers: tuple[float, ...]
    options: tuple[str, ...]
    answer_index: int
    things: bool = False
    turned: bool = False
    mirrored: str = ""
    colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How the network is trained. epochs: passes over the train cases."""

    epochs: int = 16
    batch: int = 32
    rate: float = 4e-3
    decay: float = 1e-2


class Reader(nn.Module):
    """Scores every option. Words become filters that are laid over the pictures; how much of each
    picture answers them, and where, decides. The words are those of the question, or of question
    and option where options name things. A count is compared with the number that an option names.
    """

    def __init__(self, words: int, pictures: int, numbers: int, answers: int) -> None:
        super().__init__()
        c = CHANNELS
        self.trunk = nn.Sequential(
            nn.Conv2d(9, c, 4, 2, 1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, 1, 1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, 1, 2, dilation=2),
            nn.BatchNorm2d(c),
            nn.ReLU(),
        )
        self.words = nn.Parameter(torch.randn(words, HIDDEN))
        self.numbers = nn.Linear(numbers, HIDDEN)
        self.filters = nn.Linear(HIDDEN, FILTERS * c)
        self.offsets = nn.Linear(HIDDEN, FILTERS)
        # most of a picture is not what is asked for
        nn.init.constant_(self.offsets.bias, -2.0)
        self.coarse = nn.Linear(pictures * c * COARSE**2, HIDDEN)
        self.judge = nn.Sequential(
            nn.Linear(pictures * FILTERS * 4 + 2 * HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, answers),
        )
        self.count = nn.Linear(pictures * FILTERS, 1)
        nn.init.constant_(self.count.bias, 2.0)
        self.sharpness = nn.Parameter(torch.tensor(-1.0))

    def forward(
        self, pictures: Tensor, bags: tuple[Tensor, Tensor], tints: Tensor, numbers: Tensor
    ) -> Found:
        """pictures: N x P x 3 x S x S uint8. bags: words of the T things that are looked for, flat
        for all N * T, and where each begins. tints: N x T x 3, their colours from -1 to 1, NaN
        where none is named. numbers: N x K.
        """
        n, p = pictures.shape[:2]
        t = tints.shape[1]
        features = self.trunk(_prepared(pictures, tints).flatten(0, 2))
        side = features.shape[-1]
        coarse = nn.functional.adaptive_avg_pool2d(features, COARSE).reshape(n, t, -1)
        asked = embedding_bag(bags[0], self.words, bags[1], mode="sum").reshape(n, t, HIDDEN)
        asked = asked + self.numbers(numbers)[:, None]
        filters = self.filters(asked).reshape(n, t, FILTERS, CHANNELS)
        offsets = self.offsets(asked).reshape(n, t, 1, FILTERS, 1)
        flat = features.reshape(n, t, p, CHANNELS, side * side)
        hits = torch.einsum("ntfc,ntpcs->ntpfs", filters, flat) / CHANNELS**0.5 + offsets
        weight = nn.functional.softplus(hits)
        amount = 0.02 * weight.sum(4)
        at = (torch.arange(side) + 0.5) / side * 2 - 1
        places = torch.stack([at.repeat(side), at.repeat_interleave(side)], dim=1)
        where = 0.02 * (weight @ places) / (amount[..., None] + 0.02)
        pooled = torch.cat([torch.stack([amount, 0.3 * hits.amax(4)], dim=4), where], dim=4)
        judged = self.judge(torch.cat([pooled.flatten(2), self.coarse(coarse), asked], dim=2))
        count = self.count(amount.flatten(2))[:, 0, 0]
        return Found(judged, count, self.sharpness.exp())


@dataclass(frozen=True)
class Found:
    """judged: N x T x A, a score of every answer for every thing. count: N. sharpness: how sure a
    count is.
    """

    judged: Tensor
    count: Tensor
    sharpness: Tensor

    def scores(self, table: Table, rows: Tensor) -> Tensor:
        """N x O."""
        if table.kind == "counts":
            away = self.count[:, None] - table.offered[rows].float()
            return -self.sharpness * away**2
        if table.kind == "things":
            return self.judged[:, :, 0]
        return self.judged[:, 0].gather(1, table.offered[rows])


def _prepared(pictures: Tensor, tints: Tensor) -> Tensor:
    """N x T x P x 9 x S x S float: colours, column and row, each from -1 to 1; how far the colours
    are from the named one, and how near.
    """
    n, p, _, h, w = pictures.shape
    t = tints.shape[1]
    colours = (pictures.float() / 127.5 - 1)[:, None].expand(n, t, p, 3, h, w)
    row = torch.linspace(-1, 1, h).reshape(1, 1, 1, 1, h, 1).expand(n, t, p, 1, h, w)
    column = torch.linspace(-1, 1, w).reshape(1, 1, 1, 1, 1, w).expand(n, t, p, 1, h, w)
    named = ~tints.isnan().any(2)[:, :, None, None, None, None]
    away = colours - tints.nan_to_num()[:, :, None, :, None, None]
    near = torch.exp(-4 * away.square().sum(3, keepdim=True))
    tinted = torch.where(named, torch.cat([away, near], dim=3), 0.0)
    return torch.cat([colours, column, row, tinted], dim=3)


@dataclass(frozen=True)
class Table:
    """Cases as tensors. kind: whether options are counts, things or answers out of a fixed list.
    words: per case the indices of the words of each thing that is looked for. tints: N x T x 3,
    its colour. offered: N x O, the number or the place in the list of each option; zeros for
    things.
    """

    kind: str
    pictures: Tensor
    words: list[list[list[int]]]
    tints: Tensor
    numbers: Tensor
    offered: Tensor
    answers: Tensor
    turned: Tensor
    mirrored: Tensor
    swapped: Tensor

    def __len__(self) -> int:
        return len(self.answers)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+(?:\.\d+)?", text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """words and answers by their number; word 0 is one that nobody knows."""

    kind: str
    words: dict[str, int]
    answers: dict[str, int]

    @staticmethod
    def of(cases: Sequence[Case]) -> Vocabulary:
        names = sorted({option for case in cases for option in case.options})
        kind = "answers"
        if all(case.things for case in cases):
            kind = "things"
        elif all(name.isdigit() for name in names):
            kind = "counts"
        known = sorted({w for case in cases for bag in _bags(case) for w in bag})
        return Vocabulary(
            kind,
            {word: k + 1 for k, word in enumerate(known)},
            {name: k for k, name in enumerate(names)} if kind == "answers" else {"": 0},
        )

    def offered(self, option: str) -> int:
        if self.kind == "answers":
            return self.answers[option]
        return int(option) if self.kind == "counts" else 0


def _bags(case: Case) -> list[list[str]]:
    """The words of each thing that is looked for: of the question, or with each option."""
    asked = [w for text in case.asked for w in words_of(text)]
    if not case.things:
        return [asked]
    # 'left' asked is not 'left' offered
    return [[*asked, *(f"+{w}" for w in words_of(option))] for option in case.options]


def _tint(bag: Sequence[str], colours: Mapping[str, tuple[int, int, int]]) -> list[float]:
    """The colour among the words of a thing; NaN where there is none."""
    for word in reversed(bag):
        if word.removeprefix("+") in colours:
            return [v / 127.5 - 1 for v in colours[word.removeprefix("+")]]
    return [float("nan")] * 3


def table_of(cases: Sequence[Case], known: Vocabulary) -> Table:
    import cv2

    most = max(len(case.pictures) for case in cases)
    pictures = np.zeros((len(cases), most, 3, SIDE_PX, SIDE_PX), np.uint8)
    for n, case in enumerate(cases):
        for k, picture in enumerate(case.pictures):
            if picture.shape[:2] != (SIDE_PX, SIDE_PX):
                picture = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
            pictures[n, k] = picture.transpose(2, 0, 1)
    return Table(
        kind=known.kind,
        pictures=torch.from_numpy(pictures),
        words=[[[known.words.get(w, 0) for w in bag] or [0] for bag in _bags(c)] for c in cases],
        tints=torch.tensor([[_tint(bag, c.colours) for bag in _bags(c)] for c in cases]),
        # one more than there may be, so that there is always one
        numbers=torch.tensor([[*c.numbers, 1.0] for c in cases], dtype=torch.float32),
        offered=torch.tensor([[known.offered(o) for o in c.options] for c in cases]),
        answers=torch.tensor([c.answer_index for c in cases]),
        turned=torch.tensor([c.turned for c in cases]),
        mirrored=torch.tensor([bool(c.mirrored) for c in cases]),
        swapped=torch.tensor([c.mirrored == "swap" for c in cases]),
    )


def _scores(reader: Reader, table: Table, rows: Tensor, pictures: Tensor) -> Tensor:
    bags = [bag for i in rows.tolist() for bag in table.words[i]]
    lengths = torch.tensor([len(bag) for bag in bags])
    flat = torch.tensor([w for bag in bags for w in bag])
    starts = torch.cumsum(lengths, 0) - lengths
    found: Found = reader(pictures, (flat, starts), table.tints[rows], table.numbers[rows])
    return found.scores(table, rows)


def _shaken(table: Table, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and answers of some rows, turned and mirrored by chance where that is allowed."""
    pictures, answers = table.pictures[rows].clone(), table.answers[rows].clone()
    chance = torch.rand(len(rows), generator=generator) < 0.5
    flip = chance & (table.mirrored[rows] | table.turned[rows])
    pictures[flip] = pictures[flip].flip(-1)
    swap = flip & table.swapped[rows]
    answers[swap] = 1 - answers[swap]
    quarter = torch.randint(4, (len(rows),), generator=generator)
    for turns in (1, 2, 3):
        these = table.turned[rows] & (quarter == turns)
        pictures[these] = pictures[these].rot90(turns, (-2, -1))
    return pictures, answers


def read(
    train: Sequence[Case],
    test: Sequence[Case],
    seed: int,
    training: Training | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> np.ndarray:
    """Train on some cases and answer others: per test case whether it was right. on_epoch: told
    the epoch and the mean loss.
    """
    how = training or Training()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    known = Vocabulary.of(train)
    made = table_of(train, known)
    pictures_each, numbers_each = made.pictures.shape[1], made.numbers.shape[1]
    reader = Reader(len(known.words) + 1, pictures_each, numbers_each, len(known.answers))
    optimiser = torch.optim.AdamW(reader.parameters(), how.rate, weight_decay=how.decay)
    steps = how.epochs * max(1, len(made) // how.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, steps, pct_start=0.15)
    for epoch in range(how.epochs):
        losses = []
        order = torch.randperm(len(made), generator=generator)
        for rows in order.split(how.batch)[: max(1, len(made) // how.batch)]:
            pictures, answers = _shaken(made, rows, generator)
            loss = cross_entropy(_scores(reader, made, rows, pictures), answers)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if on_epoch is not None:
            on_epoch(epoch, float(np.mean(losses)))
    reader.eval()
    asked = table_of(test, known)
    with torch.no_grad():
        guesses = [
            _scores(reader, asked, rows, asked.pictures[rows]).argmax(1)
            for rows in torch.arange(len(asked)).split(256)
        ]
    return (torch.cat(guesses) == asked.answers).numpy()


def shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    """The same cases with right options drawn by chance: nothing can be read in them."""
    rng = np.random.default_rng([seed, 0x5A])
    return [replace(c, answer_index=int(rng.integers(len(c.options)))) for c in cases]

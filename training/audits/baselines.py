"""Predictors that must fail: guesses from everything but the reasoning that a question asks for.

In: `Item`s, which hold what a blind or short-sighted predictor may look at. Out: for every item
whether the guess was right, always predicted by a model fitted on the other folds. None of them
sees the true view.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ipt_model.wording.phrasing import templates

if TYPE_CHECKING:
    import torch

FOLDS = 5
TILES = 4
CNN_PX = 32
_HASHES = 1 << 13


@dataclass(frozen=True)
class Item:
    """One question as the baselines see it.

    image: one input picture, size x size x 3 uint8. numbers: of the visible scene, by name; of
    each option where the name begins with 'option'.
    """

    text: str
    options: tuple[str, ...]
    answer_index: int
    image: np.ndarray
    numbers: dict[str, float | tuple[float, ...]] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        return self.options[self.answer_index]


def folds_of(count: int) -> np.ndarray:
    """A fold for every item, random but always the same."""
    return np.random.default_rng([count, 0xF0]).permutation(count) % FOLDS


def template_of(text: str) -> str:
    """The template that a question was made from, or its first words."""
    for kind, lines in templates().items():
        for number, line in enumerate(lines):
            pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(line))
            if re.match(pattern, text, re.IGNORECASE):
                return f"{kind} {number}"
    return " ".join(text.split()[:3])


def _guess_words(items: Sequence[Item], keys: Sequence[str]) -> np.ndarray:
    """The option whose word was most often right when offered, among items of the same key."""
    fold = folds_of(len(items))
    right = np.zeros(len(items), bool)
    for f in range(FOLDS):
        offered: dict[str, Counter[str]] = defaultdict(Counter)
        hits: dict[str, Counter[str]] = defaultdict(Counter)
        for item, key, k in zip(items, keys, fold, strict=True):
            if k != f:
                offered[key].update(item.options)
                hits[key][item.answer] += 1
        for i in np.flatnonzero(fold == f).tolist():
            item, key = items[i], keys[i]
            rate = [hits[key][o] / max(offered[key][o], 1) for o in item.options]
            right[i] = int(np.argmax(rate)) == item.answer_index
    return right


def majority_per_template(items: Sequence[Item]) -> np.ndarray:
    """The most frequent answer of each template."""
    return _guess_words(items, [template_of(item.text) for item in items])


def option_prior(items: Sequence[Item]) -> np.ndarray:
    """The option that is right most often when offered, whatever the question."""
    return _guess_words(items, [""] * len(items))


def position_prior(items: Sequence[Item]) -> np.ndarray:
    """The position that is right most often."""
    fold = folds_of(len(items))
    place = np.array([item.answer_index for item in items])
    right = np.zeros(len(items), bool)
    for f in range(FOLDS):
        favourite = np.bincount(place[fold != f]).argmax()
        right[fold == f] = place[fold == f] == favourite
    return right


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+(?:\.\d+)?", text.lower())


def _hashed(feature: str) -> int:
    return zlib.crc32(feature.encode()) % _HASHES


def _option_features(item: Item) -> list[list[int]]:
    """Per option: its words, its place, its rank, and each of these with each word of the
    question.
    """
    asked = words_of(item.text)
    context = ["", *asked, *(f"{a} {b}" for a, b in itertools.pairwise(asked))]
    order = sorted(range(len(item.options)), key=lambda k: item.options[k].rjust(4))
    features = []
    for place, option in enumerate(item.options):
        own = [*words_of(option), f"place {place}", f"rank {order.index(place)}"]
        features.append([_hashed(f"{o}|{c}") for o in own for c in context])
    return features


def question_only(items: Sequence[Item], epochs: int = 12) -> np.ndarray:
    """Logistic model over the options, from the words of question and options alone."""
    import torch
    from torch.nn.functional import cross_entropy, embedding_bag

    features = [_option_features(item) for item in items]
    answer = torch.tensor([item.answer_index for item in items])
    choices = len(items[0].options)

    def scores(weight: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        bags = [f for i in rows.tolist() for f in features[i]]
        lengths = torch.tensor([len(f) for f in bags])
        flat = torch.tensor([w for f in bags for w in f])
        starts = torch.cumsum(lengths, 0) - lengths
        total = embedding_bag(flat, weight, starts, mode="sum")[:, 0]
        return (total / lengths.sqrt()).reshape(len(rows), choices)

    fold = folds_of(len(items))
    right = np.zeros(len(items), bool)
    for f in range(FOLDS):
        generator = torch.Generator().manual_seed(f)
        weight = torch.zeros(_HASHES, 1, requires_grad=True)
        optimiser = torch.optim.Adam([weight], lr=0.02, weight_decay=1e-3)
        train, held = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        for _ in range(epochs):
            order = torch.randperm(len(train), generator=generator).numpy()
            for batch in np.array_split(train[order], max(1, len(train) // 128)):
                loss = cross_entropy(scores(weight, batch), answer[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            right[held] = (scores(weight, held).argmax(1) == answer[held]).numpy()
    return right


def shuffled_tiles(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture at CNN_PX, cut into TILES x TILES pieces that are laid out anew."""
    import cv2

    small = cv2.resize(image, (CNN_PX, CNN_PX), interpolation=cv2.INTER_AREA)
    side = CNN_PX // TILES
    tiles = (
        small.reshape(TILES, side, TILES, side, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(-1, side, side, 3)
    )
    tiles = tiles[rng.permutation(len(tiles))]
    return np.asarray(
        tiles.reshape(TILES, TILES, side, side, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(CNN_PX, CNN_PX, 3)
    )


def picture_only(items: Sequence[Item], epochs: int = 8) -> np.ndarray:
    """A small CNN on one input picture with its tiles shuffled, and the options; no question."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(
        np.stack([shuffled_tiles(item.image, rng) for item in items])
    ).permute(0, 3, 1, 2)
    words = sorted({w for item in items for o in item.options for w in words_of(o)})
    index = {w: k for k, w in enumerate(words)}
    most = max(len(item.options) for item in items)
    # options as bags of words: the net scores words, an option is the sum of its words
    bags = torch.zeros(len(items), most, len(words))
    for i, item in enumerate(items):
        for k, option in enumerate(item.options):
            for w in words_of(option):
                bags[i, k, index[w]] += 1
    answer = torch.tensor([item.answer_index for item in items])
    fold = torch.from_numpy(folds_of(len(items)))
    right = np.zeros(len(items), bool)
    for f in range(FOLDS):
        net = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, len(words)),
        )
        optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        train = torch.nonzero(fold != f)[:, 0]
        for _ in range(epochs):
            for batch in train[torch.randperm(len(train))].split(128):
                score = net(pictures[batch].float() / 127.5 - 1)
                score = torch.einsum("bow,bw->bo", bags[batch], score)
                loss = nn.functional.cross_entropy(score, answer[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            held = torch.nonzero(fold == f)[:, 0]
            score = net(pictures[held].float() / 127.5 - 1)
            score = torch.einsum("bow,bw->bo", bags[held], score)
            right[held.numpy()] = (score.argmax(1) == answer[held]).numpy()
    return right


def one_number(items: Sequence[Item], name: str, bins: int = 8) -> np.ndarray:
    """The answer from a single number of the visible scene: the likeliest in its bin.

    A number of each option is used as 'pick the largest' or 'pick the smallest', whichever was
    better.
    """
    fold = folds_of(len(items))
    right = np.zeros(len(items), bool)
    if isinstance(items[0].numbers[name], tuple):
        table = np.array([item.numbers[name] for item in items], float)
        answer = np.array([item.answer_index for item in items])
        for f in range(FOLDS):
            held = fold == f
            picks = [table.argmax(axis=1), table.argmin(axis=1)]
            best = max(picks, key=lambda pick: (pick == answer)[~held].mean())
            right[held] = (best == answer)[held]
        return right
    value = np.array([item.numbers[name] for item in items], float)
    edges = np.unique(np.quantile(value, np.linspace(0, 1, bins + 1)[1:-1]))
    return _guess_by_bin(items, np.digitize(value, edges))


def _guess_by_bin(items: Sequence[Item], which: np.ndarray) -> np.ndarray:
    """As `_guess_words` per bin; numbers among the options count by rank, for their words say
    nothing.
    """
    ranked = items[0].options[0].isdigit()

    def word(item: Item, option: str) -> str:
        return str(sorted(item.options, key=int).index(option)) if ranked else option

    fold = folds_of(len(items))
    right = np.zeros(len(items), bool)
    for f in range(FOLDS):
        hits: dict[int, Counter[str]] = defaultdict(Counter)
        for i in np.flatnonzero(fold != f).tolist():
            hits[int(which[i])][word(items[i], items[i].answer)] += 1
        for i in np.flatnonzero(fold == f).tolist():
            rate = [hits[int(which[i])][word(items[i], o)] for o in items[i].options]
            right[i] = int(np.argmax(rate)) == items[i].answer_index
    return right


#: Blind predictors by the name they have in reports.
BLIND: dict[str, Callable[[Sequence[Item]], np.ndarray]] = {
    "majority per template": majority_per_template,
    "option prior": option_prior,
    "position prior": position_prior,
    "question only (logistic)": question_only,
    "one picture, tiles shuffled (CNN)": picture_only,
}

"""What is kept of every asked example, and how records add up to tables.

A record holds answers and scores, no pictures, so that thousands fit and the same summary can be
made again. Sub-categories are weighed alike in `balanced`, as the published tables do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ipt_model.inference.option_log_probabilities import normalise
from ipt_model.question import Answer, Mode, Outcome, Question, Task
from ipt_model.spatial.maps import MapView, read_map
from ipt_model.weights.asking_style import AskingStyle, seen_words
from ipt_model.wording.extraction import read_published
from ipt_training.evaluation.map_completion import completion_scores, inpainted
from ipt_training.evaluation.metrics import calibration_error, psnr, share_of, ssim
from ipt_training.evaluation.objects import judge_object, object_pixels
from ipt_training.example import Example
from ipt_training.tasks.stored_maps import grids_of


@dataclass(frozen=True)
class Reply:
    """What is kept of one answer.

    log_probabilities: of the options, before calibration; empty when unparsable. index: the option
    with the largest. published: the option that the published evaluation would have read.
    """

    outcome: Outcome
    index: int | None
    log_probabilities: tuple[float, ...]
    published: int | None = None

    def probabilities(self, temperature: float = 1.0) -> tuple[float, ...]:
        """Over the options, summing to 1; empty when unparsable."""
        if not self.log_probabilities:
            return ()
        return normalise(self.log_probabilities, temperature)


def reply_of(question: Question, answer: Answer, temperature: float) -> Reply:
    """temperature: the one that the answer's probabilities were calibrated with."""
    published = read_published(answer.reply, len(question.options))
    if not answer.option_probabilities:
        return Reply(answer.outcome, None, (), published)
    logs = temperature * np.log(np.maximum(answer.option_probabilities, 1e-300))
    return Reply(
        answer.outcome, question.options.index(answer.text), tuple(logs.tolist()), published
    )


@dataclass(frozen=True)
class MapScores:
    """A completed map on unknown cells alone: the drawing, inpainting, and leaving unknown at one
    half. (IoU of occupied cells, Brier score) each."""

    drawn: tuple[float, float]
    inpainted: tuple[float, float]
    unknown: tuple[float, float]


@dataclass(frozen=True)
class PictureScores:
    """How good one imagined view is. present, side: of the things the answer is about, those that
    can be judged."""

    psnr: float
    ssim: float
    present: tuple[bool, ...]
    side: tuple[bool, ...]
    map: MapScores | None


@dataclass(frozen=True)
class Record:
    """One example, all modes that it can be asked in. share_seen: 0 to 1, how much of the asked
    view was seen; None where nothing is recalled. turned: by mode, whether the mirrored picture
    turned the answer, of those that can turn. group: the scene or place of the question; those of
    one share their luck."""

    number: int
    task: Task
    variant: str
    subcategory: str
    answer_index: int
    options: int
    replies: Mapping[Mode, Reply]
    picture: PictureScores | None
    share_seen: float | None = None
    turned: Mapping[Mode, bool] = field(default_factory=dict)
    group: str = ""

    def right(self, mode: Mode) -> bool:
        return self.replies[mode].index == self.answer_index


def record_of(
    number: int,
    example: Example,
    answers: Mapping[Mode, Answer],
    style: AskingStyle,
    turned: Mapping[Mode, bool] | None = None,
) -> Record:
    """Score one example's answers; the pictures themselves are let go."""
    question = example.question
    imagined = answers[Mode.IMAGINE].imagined_views if Mode.IMAGINE in answers else ()
    return Record(
        number,
        question.task,
        example.variant,
        example.subcategory,
        example.answer_index,
        len(question.options),
        {
            mode: reply_of(
                question, answer, style.temperature_of(question.task, mode, question.share_seen)
            )
            for mode, answer in answers.items()
        },
        judge_picture(example, imagined[0]) if imagined and example.true_view.size else None,
        question.share_seen,
        turned or {},
        example.home,
    )


def judge_picture(example: Example, imagined: np.ndarray) -> PictureScores:
    """Score an imagined view against the true view, at the true view's size."""
    from ipt_model.network.transforms import resize

    truth = example.true_view
    drawn = resize(imagined, truth.shape[1], truth.shape[0])
    found = [judge_object(truth, drawn, pixel) for pixel in object_pixels(example)]
    judged = [one for one in found if one is not None]
    return PictureScores(
        psnr(truth, drawn),
        ssim(truth, drawn),
        tuple(one.present for one in judged),
        tuple(one.side for one in judged if one.side is not None),
        map_scores(example, imagined),
    )


def map_scores(example: Example, imagined: np.ndarray) -> MapScores | None:
    """Of a completed map, drawn or filled in any way; None of examples without one."""
    if example.question.task is not Task.CLEARANCE or "cells_true" not in example.facts:
        return None
    truth, seen = grids_of(example.facts)
    x_min, y_min, side_m = example.facts["map_view"]
    view = MapView(x_min, y_min, side_m, imagined.shape[0])
    half = np.full(truth.cells.shape, 0.5)
    scores = [
        completion_scores(probability, truth, seen)
        for probability in (read_map(imagined, view, truth), inpainted(seen), half)
    ]
    drawn, filled, unknown = ((s.iou, s.brier) for s in scores)
    return MapScores(drawn, filled, unknown)


# -- tables
def summary(
    records: Sequence[Record], modes: Sequence[Mode], style: AskingStyle
) -> dict[str, Any]:
    """Everything that is reported, by task."""
    out: dict[str, Any] = {}
    for task in dict.fromkeys(r.task for r in records):
        own = [r for r in records if r.task is task]
        part: dict[str, Any] = {
            "n": len(own),
            "chance": round(float(np.mean([1 / r.options for r in own])), 4),
            "modes": {},
        }
        for mode in modes:
            asked = [r for r in own if mode in r.replies]
            if asked:
                part["modes"][mode.value] = mode_summary(asked, mode, style)
        if any(r.picture is not None for r in own):
            part["imagination"] = imagination_summary(own)
            part["imagination_by_variant"] = _grouped(
                own, lambda r: r.variant, imagination_summary
            )
        out[task.value] = part
    return out


def mode_summary(records: Sequence[Record], mode: Mode, style: AskingStyle) -> dict[str, Any]:
    """Accuracy in all, balanced, by kind and by share seen; how many answers turn with the picture
    (reliance); unparsable share; calibration of what was read."""
    read = [r for r in records if r.replies[mode].log_probabilities]
    confidence = [confidence_of(r, mode, style) for r in read]
    plain = [max(r.replies[mode].probabilities()) for r in read]
    flags = [r.right(mode) for r in read]

    def accuracy(some: Sequence[Record]) -> dict[str, object]:
        return share_of([r.right(mode) for r in some]).to_dict()

    by_kind = _grouped(records, lambda r: r.subcategory, accuracy)
    unparsable = [r.replies[mode].outcome is Outcome.UNPARSABLE for r in records]
    remembered = [r for r in records if r.share_seen is not None]
    by_seen = {"by_seen": _grouped(remembered, seen_name, accuracy)} if remembered else {}
    turned = [r.turned[mode] for r in records if mode in r.turned]
    reliance = {"reliance": share_of(turned).to_dict()} if turned else {}
    return {
        "accuracy": accuracy(records),
        "balanced": _rounded([float(v["share"]) for v in by_kind.values()]),
        "by_subcategory": by_kind,
        "by_variant": _grouped(records, lambda r: r.variant, accuracy),
        **by_seen,
        **reliance,
        "unparsable": share_of(unparsable).to_dict(),
        **_published(records, mode, style),
        "ece": _finite(calibration_error(confidence, flags)),
        "ece_uncalibrated": _finite(calibration_error(plain, flags)),
        "mean_confidence": _rounded(confidence),
    }


def _published(records: Sequence[Record], mode: Mode, style: AskingStyle) -> dict[str, Any]:
    """What the published evaluation would say of the same replies, kept apart: it reads letters
    alone, and guesses."""
    if style.prompt.answer_style != "letter":
        return {}
    read = [r.replies[mode].published for r in records]
    right = [k == r.answer_index for k, r in zip(read, records, strict=True)]
    return {
        "published": {
            "accuracy": share_of(right).to_dict(),
            "unparsable": share_of([k is None for k in read]).to_dict(),
        }
    }


def confidence_of(record: Record, mode: Mode, style: AskingStyle) -> float:
    """The calibrated probability of the option that was chosen."""
    temperature = style.temperature_of(record.task, mode, record.share_seen)
    return max(record.replies[mode].probabilities(temperature))


def seen_name(record: Record) -> str:
    """In words, how much of the asked view was seen."""
    return seen_words(record.share_seen or 0.0)


def imagination_summary(records: Sequence[Record]) -> dict[str, Any]:
    """Means over the drawn pictures; object shares with intervals; maps where there are any."""
    pictures = [r.picture for r in records if r.picture is not None]
    maps = [p.map for p in pictures if p.map is not None]
    out: dict[str, Any] = {
        "n": len(pictures),
        "psnr_db": _rounded([min(p.psnr, 99.0) for p in pictures]),
        "ssim": _rounded([p.ssim for p in pictures]),
    }
    for name in ("present", "side"):
        flags = [flag for p in pictures for flag in getattr(p, name)]
        if flags:
            out[f"object_{name}"] = share_of(flags).to_dict()
    for name in ("drawn", "inpainted", "unknown") if maps else ():
        values = [getattr(m, name) for m in maps]
        out[f"map_{name}"] = {
            "iou": _rounded([iou for iou, _ in values]),
            "brier": _rounded([brier for _, brier in values]),
        }
    return out


def _grouped(
    records: Iterable[Record],
    key: Callable[[Record], str],
    value: Callable[[Sequence[Record]], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return {name: value(some) for name, some in sorted(groups.items())}


def _rounded(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)

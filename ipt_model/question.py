"""What is asked of the model and what comes back, as plain data.

`Question` and `Answer` are the one vocabulary of the whole package: dataset rows, evaluation and
the robot's nodes all speak it, so a question asked on the robot, in the simulator and in a dataset
row is the same object. Nothing here knows about ROS, torch or how an answer is found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from .spatial.recalled import RecalledView
from .tags import tags_in


class Task(str, Enum):
    """The kinds of spatial question the model is trained on; FREE is any other question."""

    PERSPECTIVE = "perspective"
    PATH = "path"
    COUNTING = "counting"
    CLEARANCE = "clearance"
    FREE = "free"


class Mode(str, Enum):
    """How an answer is reached.

    ANSWER draws nothing. IMAGINE thinks, draws the unseen view, looks at it and answers; what was
    seen of that view is not drawn but taken over. RECALL is shown what was seen of the view, its
    holes filled from their edges, instead of drawing any of it. GIVEN is shown the true view (the
    oracle of evaluations). AUTO takes the best that fits the budget.
    """

    ANSWER = "answer"
    IMAGINE = "imagine"
    RECALL = "recall"
    GIVEN = "given"
    AUTO = "auto"


class Outcome(str, Enum):
    """Whether an answer could be read. An unparsable reply is reported, never guessed at."""

    ANSWERED = "answered"
    UNPARSABLE = "unparsable"
    OUT_OF_BUDGET = "out_of_budget"


class QuestionError(ValueError):
    """The question cannot be asked; the message says what was given and what was expected."""


def check_image(image: np.ndarray, name: str) -> None:
    """Refuse anything but a non-empty H x W x 3 uint8 RGB picture."""
    if not isinstance(image, np.ndarray):
        raise QuestionError(f"{name}: expected a numpy array, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise QuestionError(
            f"{name}: expected H x W x 3 uint8 RGB with H, W > 0, got shape {image.shape} "
            f"{image.dtype}"
        )


def check_recalled(view: RecalledView) -> None:
    """Refuse a recalled view whose mask is none, or not that of its picture."""
    check_image(view.rgb, "recalled.rgb")
    if view.seen.dtype != bool or view.seen.shape != view.rgb.shape[:2]:
        raise QuestionError(
            f"recalled.seen: expected bool {view.rgb.shape[0]} x {view.rgb.shape[1]} as the "
            f"picture, got {view.seen.dtype} of shape {view.seen.shape}"
        )


def check_text(text: str, name: str) -> None:
    """Refuse what cannot be told from the model's own writing, or cannot be written at all."""
    if tags := tags_in(text):
        raise QuestionError(
            f"{name}: {', '.join(map(repr, tags[:3]))} is how the model marks its own thoughts "
            "and answers; write it without"
        )
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise QuestionError(f"{name}: expected Unicode text, found half a character")
    composed = unicodedata.normalize("NFC", ">" + text)
    if not composed.startswith(">") or composed[1:] != unicodedata.normalize("NFC", text):
        raise QuestionError(f"{name}: begins with an accent that has no letter, {text[:1]!a}")


@dataclass(frozen=True)
class Question:
    """A spatial question about what the images do not show.

    images: H x W x 3 uint8 RGB, in the order the text speaks of them.
    options: the possible answers in words, 2 to 26 of them, a line each; empty for a free answer.
    true_view: the true unseen view, H x W x 3 uint8 RGB; needed by, and only read in, mode GIVEN.
    view_size: height, width in pixels of the view to draw; None draws at the size of the recalled
        view, or else of the last image. The model draws at the nearest size that it can.
    think: the sentence that introduces the drawing; None lets the model write it itself.
    recalled: the asked view as far as it was ever seen; needed by mode RECALL, kept in what mode
        IMAGINE draws, and no reason for a picture among `images`. None where nothing is known.
    """

    task: Task
    images: tuple[np.ndarray, ...]
    text: str
    options: tuple[str, ...] = ()
    true_view: np.ndarray | None = None
    view_size: tuple[int, int] | None = None
    think: str | None = None
    recalled: RecalledView | None = None

    @property
    def share_seen(self) -> float | None:
        """0 to 1: how much of the asked view was seen; None where nothing is recalled."""
        return None if self.recalled is None else self.recalled.share_seen

    def __post_init__(self) -> None:
        for i, image in enumerate(self.images):
            check_image(image, f"images[{i}]")
        if self.true_view is not None:
            check_image(self.true_view, "true_view")
        if self.recalled is not None:
            check_recalled(self.recalled)
        if not self.text.strip():
            raise QuestionError("text: the question is empty")
        if len(self.options) == 1 or len(self.options) > 26:
            raise QuestionError(f"options: expected none or 2 to 26, got {len(self.options)}")
        check_text(self.text, "text")
        if self.think is not None:
            check_text(self.think, "think")
        for i, option in enumerate(self.options):
            check_text(option, f"options[{i}]")
            if not option.strip() or len(option.splitlines()) != 1:
                raise QuestionError(
                    f"options[{i}]: expected words on one line, got {_cut(option)}"
                )
        as_read = {unicodedata.normalize("NFC", option).strip() for option in self.options}
        if len(as_read) != len(self.options):
            shown = ", ".join(_cut(option) for option in self.options)
            raise QuestionError(f"options: must differ from each other, got {shown}")


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


@dataclass(frozen=True)
class StageTimes:
    """Wall-clock seconds spent in each stage; `queue_s` is filled by whoever made the question
    wait.
    """

    queue_s: float = 0.0
    preprocess_s: float = 0.0
    context_s: float = 0.0
    imagine_s: float = 0.0
    answer_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True)
class Provenance:
    """Enough to ask again and get the same bytes on the same device.

    flow_steps: steps of the drawing, 0 when nothing was drawn. flow_steps_done: fewer than that
        when the budget ended the drawing early, by one straight stride from there to the picture.
    """

    model_id: str
    model_hash: str
    seed: int
    flow_steps: int
    mode: Mode
    flow_steps_done: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model said, how sure it was, and the view it said it from.

    text: the chosen option, or the free answer; empty unless `outcome` is ANSWERED.
    option_probabilities: one per option, summing to 1, read from the logits of the answer token
        (the mean over imagined views when there are several); empty for a free question.
    imagined_views: what was drawn, H x W x 3 uint8 RGB each; empty when nothing was drawn.
        What was seen of them is in its place, pixel for pixel.
    probabilities_by_view: the option probabilities from each imagined view, for the spread between
        them; empty for one whose reply could not be read.
    option_mass: probability of a well-formed reply naming any option, before
        `option_probabilities` were normalised; near 0 the model wanted to say something else. None
        for a free question.
    think: the text written before drawing. reply: everything the model wrote, as written.
    raw_views: `imagined_views` as the model drew them, before what was seen was put in its place.
    unheld: H x W bool, seen pixels of the view that the drawing was not held to; None where
        nothing was recalled or drawn. There alone `raw_views` say whether it can be trusted.
    share_seen: 0 to 1, how much of the asked view was seen; None where nothing was recalled.
    """

    outcome: Outcome
    text: str
    option_probabilities: tuple[float, ...]
    imagined_views: tuple[np.ndarray, ...]
    times: StageTimes
    provenance: Provenance
    probabilities_by_view: tuple[tuple[float, ...], ...] = ()
    think: str = ""
    reply: str = ""
    option_mass: float | None = None
    raw_views: tuple[np.ndarray, ...] = ()
    unheld: np.ndarray | None = None
    share_seen: float | None = None

    @property
    def confidence(self) -> float:
        """Probability of the chosen option; 0 when there is none."""
        return max(self.option_probabilities, default=0.0)


class Cancelled(Exception):
    """Raised out of `ask` when its progress callback asked to stop."""


@dataclass(frozen=True)
class Progress:
    """Told to `on_progress` between stages and between flow steps.

    fraction: 0 to 1 over the whole answer. preview: H x W x 3 uint8 RGB every few steps, else
        None.
    """

    stage: str
    fraction: float
    preview: np.ndarray | None = field(default=None, compare=False)


#: Returns False to cancel; `ask` then raises `Cancelled` before the next flow step.
OnProgress = Callable[[Progress], bool]

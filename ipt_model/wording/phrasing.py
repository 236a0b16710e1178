"""The words questions are asked in, the same on the robot and in every dataset row.

Each function gives the text of a question and its options in words; the robot uses template 0,
training draws a template. Motions are rounded to 0.1 m and 5 degrees *before* they are spoken, so
whoever makes a true view should first call `round_motion`. Nothing here knows about pictures or
letters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

METRES_STEP = 0.1
DEGREES_STEP = 5
RADIUS_STEP_M = 0.05

DISTANCE_OPTIONS = ("closer", "further")
SIDE_OPTIONS = ("left", "right")
YES_NO_OPTIONS = ("yes", "no")

_PLURALS = {"shelf": "shelves", "box": "boxes", "couch": "couches", "bench": "benches"}


class PhrasingError(ValueError):
    """Words were asked for that cannot be said; the message says what was given and what is
    possible.
    """


@dataclass(frozen=True)
class Motion:
    """A planar motion in the body frame: first the shift, then the turn on the spot.

    forward_m, left_m: negative values go back and to the right. turn_rad: positive turns left.
    """

    forward_m: float
    left_m: float
    turn_rad: float


@dataclass(frozen=True)
class Phrase:
    """A question as text with its options in words; no options for a question that the caller
    completes.
    """

    text: str
    options: tuple[str, ...]


@lru_cache(maxsize=1)
def templates() -> dict[str, tuple[str, ...]]:
    """All question templates by question type; each tuple's first is the one the robot uses."""
    text = (
        files("ipt_model.wording").joinpath("templates/questions.yaml").read_text(encoding="utf-8")
    )
    return {name: tuple(lines) for name, lines in yaml.safe_load(text).items()}


def round_motion(motion: Motion) -> Motion:
    """The motion that `motion_in_words` speaks of: steps of 0.1 m and 5 degrees, within 180."""
    values = (motion.forward_m, motion.left_m, motion.turn_rad)
    if not all(math.isfinite(v) for v in values):
        raise PhrasingError(f"motion: expected finite numbers, got {motion}")
    turn = math.degrees(math.remainder(motion.turn_rad, 2 * math.pi))
    return Motion(
        forward_m=round(round(motion.forward_m / METRES_STEP) * METRES_STEP, 1) + 0.0,
        left_m=round(round(motion.left_m / METRES_STEP) * METRES_STEP, 1) + 0.0,
        turn_rad=math.radians(round(turn / DEGREES_STEP) * DEGREES_STEP),
    )


def motion_in_words(motion: Motion) -> str:
    """'move 1.2 m forward and 0.4 m to the left, then turn left 60 degrees', rounded as
    `round_motion` does.
    """
    motion = round_motion(motion)
    shifts = []
    if motion.forward_m:
        way = "forward" if motion.forward_m > 0 else "back"
        shifts.append(f"{abs(motion.forward_m):.1f} m {way}")
    if motion.left_m:
        side = "left" if motion.left_m > 0 else "right"
        shifts.append(f"{abs(motion.left_m):.1f} m to the {side}")
    parts = ["move " + " and ".join(shifts)] if shifts else []
    degrees = round(math.degrees(motion.turn_rad))
    if degrees:
        parts.append(f"turn {'left' if degrees > 0 else 'right'} {abs(degrees)} degrees")
    return ", then ".join(parts) or "stay where you are"


_SHIFT = re.compile(
    r"(\d+(?:\.\d+)?) ?m(?:et(?:er|re)s?)? (forward|back|to the left|to the right)\b"
)
_TURN = re.compile(r"\bturn (left|right) (\d+(?:\.\d+)?) degrees\b")


def motion_in(text: str) -> Motion | None:
    """The motion that a question states in these words, rounded; None where it states none, or
    one that these words do not tell (two turns, a turn before the shift)."""
    told = text.lower()
    shifts = list(_SHIFT.finditer(told))
    turns = list(_TURN.finditer(told))
    if not (shifts or turns) or len(turns) > 1 or len(shifts) > 2:
        return None
    along = [m for m in shifts if m[2] in ("forward", "back")]
    across = [m for m in shifts if m not in along]
    if (
        len(along) > 1
        or len(across) > 1
        or (turns and any(m.start() > turns[0].start() for m in shifts))
    ):
        return None
    forward = sum(float(m[1]) * (1 if m[2] == "forward" else -1) for m in along)
    left = sum(float(m[1]) * (1 if m[2] == "to the left" else -1) for m in across)
    degrees = sum(float(m[2]) * (1 if m[1] == "left" else -1) for m in turns)
    return round_motion(Motion(forward, left, math.radians(degrees)))


def perspective_question(
    asked: str,
    object_name: str,
    motion: Motion,
    *,
    marker: bool = False,
    anchored: bool = False,
    template: int = 0,
) -> Phrase:
    """Where a named object will be after a motion. asked: 'distance' or 'side'.

    marker: the motion leads to the painted X and ends with a turn of 90 degrees, and is not put in
    numbers. anchored: the last input shows what is already known of the new view.
    """
    if asked not in ("distance", "side"):
        raise PhrasingError(f"asked: expected 'distance' or 'side', got {asked!r}")
    if marker:
        turn = "left" if motion.turn_rad > 0 else "right"
        words = _fill(f"perspective_marker_{asked}", template, object=object_name, turn=turn)
    else:
        words = _fill(
            f"perspective_pose_{asked}",
            template,
            object=object_name,
            motion=motion_in_words(motion),
        )
    if anchored:
        words = f"{words} {_fill('anchored', 0)}"
    return Phrase(words, DISTANCE_OPTIONS if asked == "distance" else SIDE_OPTIONS)


def path_question(side: str, object_names: Sequence[str], *, template: int = 0) -> Phrase:
    """What can be seen on one side at the midpoint of the drawn path."""
    if side not in SIDE_OPTIONS:
        raise PhrasingError(f"side: expected 'left' or 'right', got {side!r}")
    return Phrase(_fill("path", template, side=side), tuple(object_names))


def counting_question(category: str, numbers: Sequence[int], *, template: int = 0) -> Phrase:
    """How many things of a category there are in the area that the frames show."""
    if any(n < 0 for n in numbers):
        raise PhrasingError(f"numbers: expected counts of 0 or more, got {list(numbers)}")
    words = _fill("counting", template, category=plural(category))
    return Phrase(words, tuple(str(n) for n in numbers))


def round_radius(radius_m: float) -> float:
    """The radius that `clearance_question` speaks of: the next step of 0.05 m that is no smaller,
    so that nobody is told of more room than there is.
    """
    if not (math.isfinite(radius_m) and radius_m > 0):
        raise PhrasingError(f"radius_m: expected a positive length, got {radius_m}")
    return round(math.ceil(radius_m / RADIUS_STEP_M - 1e-6) * RADIUS_STEP_M, 2)


def clearance_question(*, radius_m: float | None = None, template: int = 0) -> Phrase:
    """Whether the path drawn on the map is free, through the cells that were not seen.

    radius_m: of the robot, told in words and rounded up as `round_radius` does; None leaves it
    unsaid: the robot is then the one that the model was trained with.
    """
    words = _fill("clearance", template)
    if radius_m is not None:
        words = f"{words} {_fill('told_radius', 0, radius=f'{round_radius(radius_m):.2f}')}"
    return Phrase(words, YES_NO_OPTIONS)


def plural(category: str) -> str:
    return _PLURALS.get(category, category + "s")


def _fill(question_type: str, template: int, **words: str) -> str:
    lines = templates()[question_type]
    if not 0 <= template < len(lines):
        raise PhrasingError(f"template: {question_type} has 0 to {len(lines) - 1}, got {template}")
    text = lines[template].format(**words)
    return text[0].upper() + text[1:]

"""Text chain-of-thought from geometry, in the words a person would use who estimates by eye.

In: body-frame positions (forward, left; m), motions, counts. Out: two to six sentences that end in
the conclusion. Distances are said as a person says them, to the half metre.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ipt_model.wording.phrasing import Motion, motion_in_words, plural


def about(distance_m: float) -> str:
    """'about 2 m', 'about 1.5 m', 'less than half a metre'."""
    halves = round(2 * distance_m)
    if halves == 0:
        return "less than half a metre"
    return f"about {halves // 2} m" if halves % 2 == 0 else f"about {halves / 2:.1f} m"


def direction(forward_m: float, left_m: float) -> str:
    """'straight ahead', 'ahead and a little to the left', 'behind me to the right' ..."""
    angle = math.degrees(math.atan2(left_m, forward_m))
    side = "left" if angle > 0 else "right"
    size = abs(angle)
    if size < 6:
        return "straight ahead"
    if size < 20:
        return f"ahead and a little to the {side}"
    if size < 60:
        return f"ahead to the {side}"
    if size < 120:
        return f"beside me on the {side}"
    if size < 165:
        return f"behind me to the {side}"
    return "straight behind me"


def perspective_reasoning(
    *,
    asked: str,
    name: str,
    before: tuple[float, float],
    after: tuple[float, float],
    motion: Motion,
    marker: bool,
    rng: np.random.Generator,
) -> str:
    """before, after: the object in the body frame, forward and left, m."""
    d0, d1 = math.hypot(*before), math.hypot(*after)
    turn = "left" if motion.turn_rad > 0 else "right"
    start = [
        f"From here the {name} is {direction(*before)}, {about(d0)} away.",
        f"I see the {name} {direction(*before)} at {about(d0)}.",
    ]
    if marker:
        reach = math.hypot(motion.forward_m, motion.left_m)
        where = direction(motion.forward_m, motion.left_m)
        go = [
            f"The red X lies {where}, {about(reach)} from me.",
            f"The X on the floor is {where}, {about(reach)} off.",
        ]
    else:
        go = [
            f"I am asked to {motion_in_words(motion)}.",
            f"The motion is: {motion_in_words(motion)}.",
        ]
    sentences = [_pick(rng, start), _pick(rng, go)]
    # the object in the old directions, as seen from the new place
    c, s = math.cos(motion.turn_rad), math.sin(motion.turn_rad)
    ahead, aside = c * after[0] - s * after[1], s * after[0] + c * after[1]
    place = "the X" if marker else "that place"
    if asked == "distance":
        sentences.append(f"Seen from {place} it would be {about(d1)} away.")
        more = "less" if d1 < d0 else "more"
        verdict = "closer" if d1 < d0 else "further"
        sentences.append(f"That is {more} than from here, and turning changes no distance.")
        sentences.append(f"So the {name} gets {verdict}.")
        return " ".join(sentences)
    sentences.append(f"At {place}, before I turn, the {name} is {direction(ahead, aside)}.")
    degrees = abs(round(math.degrees(motion.turn_rad)))
    if degrees:
        sentences.append(
            f"Turning {turn} by {degrees} degrees swings everything in my view to the "
            f"{'right' if turn == 'left' else 'left'}."
        )
    sentences.append(f"Then the {name} is on my {'left' if after[1] > 0 else 'right'}.")
    return " ".join(sentences)


#: Directions on a map with north up, counter-clockwise from east.
_MAP_WORDS = (
    "right",
    "upper right",
    "top",
    "upper left",
    "left",
    "lower left",
    "bottom",
    "lower right",
)


def map_direction(angle: float) -> str:
    """The word for a direction on the map; angle: rad, counter-clockwise from east."""
    return _MAP_WORDS[round(angle / (math.pi / 4)) % 8]


def path_reasoning(
    *,
    side: str,
    heading: float,
    answer: str,
    answer_body: tuple[float, float],
    others: Sequence[tuple[str, tuple[float, float] | None]],
) -> str:
    """heading: of the walk, rad. others: the wrong options with where they are at M1, forward and
    left in m.

    None for a place that cannot be seen from M1.
    """
    across = heading + (0.5 * math.pi if side == "left" else -0.5 * math.pi)
    sentences = [
        f"On the map the walk from 1 to 2 goes towards the {map_direction(heading)}.",
        f"Facing that way at M1, my {side} is towards the {map_direction(across)} of the map.",
        f"The {answer} is there, {about(math.hypot(*answer_body))} from M1.",
    ]
    for name, body in others:
        if body is None:
            sentences.append(f"The {name} is out of sight from M1.")
            continue
        bearing = math.degrees(math.atan2(body[1], body[0]))
        if abs(bearing) < 50:
            sentences.append(f"The {name} is ahead.")
        elif abs(bearing) > 130:
            sentences.append(f"The {name} is behind me.")
        else:
            where = "left" if body[1] > 0 else "right"
            hidden = ", but hidden" if where == side else ""
            sentences.append(f"The {name} is on my {where}{hidden}.")
    sentences.append(f"So at M1 I see the {answer} on my {side}.")
    return " ".join(sentences)


def counting_reasoning(category: str, frames: Sequence[Sequence[str]], total: int) -> str:
    """frames: per frame the names of the counted things in it; a name seen before is counted once.

    Things of equal name are told apart by a number that the caller appends.
    """
    seen: list[str] = []
    sentences = []
    for number, names in enumerate(frames, 1):
        new = [n for n in names if n not in seen]
        old = [n for n in names if n in seen]
        if not names:
            sentences.append(f"Frame {number} shows no {category}.")
            continue
        parts = []
        if new:
            parts.append(f"{_listed(new)}{' for the first time' if seen else ''}")
        if old:
            parts.append(f"{_listed(old)} again")
        sentences.append(f"Frame {number} shows {' and '.join(parts)}.")
        seen += new
    noun = category if total == 1 else plural(category)
    sentences.append(f"Counting each once, that makes {total} {noun}.")
    return " ".join(sentences)


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def ordinal_names(names: Sequence[str]) -> list[str]:
    """The names again, equal ones told apart: 'first blue ball', 'second blue ball'."""
    given: Counter[str] = Counter()
    told = []
    for name in names:
        told.append(f"{_ORDINALS[given[name]]} {name}" if names.count(name) > 1 else name)
        given[name] += 1
    return told


def clearance_reasoning(
    *, clear: bool, blocker: str | None, blocker_at_m: float, hidden_m: float, nearest: str | None
) -> str:
    """blocker_at_m: along the path to the first contact. hidden_m: length of the path that was not
    seen.
    """
    sentences = [f"Along the path {about(hidden_m)} of floor were not seen."]
    if clear:
        if nearest is not None:
            sentences.append(
                f"The nearest thing is the {nearest}; by its shape it ends before the path."
            )
        sentences.append("Nothing that I know of reaches into it, so the path is clear.")
    else:
        sentences.append(
            f"The {blocker} was only seen from one side, and its hidden part reaches into the "
            f"path {about(blocker_at_m)} from the start."
            if blocker != "wall"
            else f"The wall goes on there and cuts the path {about(blocker_at_m)} from the start."
        )
        sentences.append("So the path is not clear.")
    return " ".join(sentences)


def _pick(rng: np.random.Generator, sentences: Sequence[str]) -> str:
    return sentences[int(rng.integers(len(sentences)))]


def _listed(names: Sequence[str]) -> str:
    counted = [f"the {n}" for n in names]
    if len(counted) == 1:
        return counted[0]
    return ", ".join(counted[:-1]) + " and " + counted[-1]

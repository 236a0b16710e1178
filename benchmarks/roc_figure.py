"""ROC curves, and panels of them drawn with OpenCV: `draw(panels, path)`. No plotting library."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.stats import rankdata

#: Drawn this many times larger and shrunk, for smooth lines.
_SCALE = 3
_SIDE, _LEFT, _TOP, _BOTTOM, _LEGEND = 300, 62, 40, 56, 205
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREY, _LIGHT, _BLACK = (110, 110, 110), (225, 225, 225), (30, 30, 30)
#: BGR; distinguishable by colour-blind readers.
_COLOURS = (
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (66, 66, 66),
    (233, 180, 86),
    (30, 30, 170),
    (160, 160, 40),
    (60, 20, 220),
    (190, 180, 250),
)


class Curve(NamedTuple):
    """points: N x 2 (share of wrong ones that pass, share of true ones). at: the default
    threshold's."""

    name: str
    points: np.ndarray
    at: np.ndarray


class Panel(NamedTuple):
    title: str
    curves: list[Curve]


def auc(true: np.ndarray, wrong: np.ndarray) -> float:
    """How often a true drawing scores above a wrong one; ties count half."""
    ranks = rankdata(np.concatenate([true, wrong]))
    above = ranks[: len(true)].sum() - len(true) * (len(true) + 1) / 2
    return float(above / (len(true) * len(wrong)))


def curve(kind: str, true: np.ndarray, wrong: np.ndarray, threshold: float) -> Curve:
    """Of one kind of wrong drawing."""
    limits = np.concatenate([[-1.0], np.linspace(0, 1, 401), [2.0]])
    points = [((wrong >= t).mean(), (true >= t).mean()) for t in limits]
    at = ((wrong >= threshold).mean(), (true >= threshold).mean())
    return Curve(f"{kind}  {auc(true, wrong):.2f}", np.array(points), np.array(at))


def _panel(panel: Panel) -> np.ndarray:
    width, height = _LEFT + _SIDE + _LEGEND, _TOP + _SIDE + _BOTTOM
    image = np.full((height * _SCALE, width * _SCALE, 3), 255, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        """Pixel of a point of the axes, 0 to 1."""
        return round((_LEFT + x * _SIDE) * _SCALE), round((_TOP + (1 - y) * _SIDE) * _SCALE)

    def text(words: str, x: float, y: float, colour: tuple[int, int, int], size: float) -> None:
        place = round(x * _SCALE), round(y * _SCALE)
        cv2.putText(image, words, place, _FONT, size * _SCALE, colour, _SCALE, cv2.LINE_AA)

    for tick in np.linspace(0, 1, 6):
        cv2.line(image, at(tick, 0), at(tick, 1), _LIGHT, _SCALE, cv2.LINE_AA)
        cv2.line(image, at(0, tick), at(1, tick), _LIGHT, _SCALE, cv2.LINE_AA)
        text(f"{tick:.1f}", _LEFT + tick * _SIDE - 9, _TOP + _SIDE + 17, _GREY, 0.36)
        text(f"{tick:.1f}", _LEFT - 28, _TOP + (1 - tick) * _SIDE + 4, _GREY, 0.36)
    cv2.line(image, at(0, 0), at(1, 1), _LIGHT, 2 * _SCALE, cv2.LINE_AA)
    cv2.rectangle(image, at(0, 0), at(1, 1), _GREY, _SCALE)
    text(panel.title, _LEFT, _TOP - 14, _BLACK, 0.5)
    text("wrong drawings that pass", _LEFT + 70, _TOP + _SIDE + 40, _GREY, 0.42)
    text("kind of wrong drawing, AUC", _LEFT + _SIDE + 14, _TOP + 10, _GREY, 0.38)
    for index, curve in enumerate(panel.curves):
        colour = _COLOURS[index % len(_COLOURS)]
        line = np.array([at(x, y) for x, y in curve.points], np.int32)
        cv2.polylines(image, [line], False, colour, 2 * _SCALE, cv2.LINE_AA)
        y = _TOP + 32 + 20 * index
        left = (_LEFT + _SIDE + 14) * _SCALE
        cv2.line(
            image,
            (left, (y - 4) * _SCALE),
            (left + 18 * _SCALE, (y - 4) * _SCALE),
            colour,
            3 * _SCALE,
            cv2.LINE_AA,
        )
        text(curve.name, _LEFT + _SIDE + 38, y, _BLACK, 0.38)
    for index, curve in enumerate(panel.curves):
        colour = _COLOURS[index % len(_COLOURS)]
        x, y_ = curve.at
        cv2.circle(image, at(x, y_), 5 * _SCALE, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, at(x, y_), 4 * _SCALE, colour, -1, cv2.LINE_AA)
    side = np.full((height * _SCALE, 22 * _SCALE, 3), 255, np.uint8)
    sideways = np.ascontiguousarray(np.rot90(side, -1))
    cv2.putText(
        sideways,
        "true drawings that pass",
        (round(0.28 * sideways.shape[1]), 16 * _SCALE),
        _FONT,
        0.42 * _SCALE,
        _GREY,
        _SCALE,
        cv2.LINE_AA,
    )
    both = np.hstack([np.rot90(sideways), image])
    return cv2.resize(both, None, fx=1 / _SCALE, fy=1 / _SCALE, interpolation=cv2.INTER_AREA)


def draw(panels: list[Panel], path: Path) -> None:
    """Two panels a row, as PNG."""
    pictures = [_panel(p) for p in panels]
    rows = [np.hstack(pictures[i : i + 2]) for i in range(0, len(pictures), 2)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])

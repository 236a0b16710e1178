"""What is painted over a top-down picture: paths with numbered ends, the midpoint, the asked
direction.

In: pictures and pixel positions. Out: new pictures. Nothing is painted in red, which is the
painted X's.
"""

from __future__ import annotations

import cv2
import numpy as np

from ipt_training.scenes.scene import Scene

LINE = (20, 20, 20)
HALO = (255, 255, 255)
MIDPOINT = (255, 0, 255)
#: 3 x 5 digits, readable when one dot is one pixel.
_GLYPHS = {"1": ("010", "110", "010", "010", "111"), "2": ("111", "001", "111", "100", "111")}


def room_square(scene: Scene, x: float, y: float) -> tuple[float, float, float, float]:
    """The square around the room at x, y that a map of it shows: x_min, y_min, x_max, y_max, m."""
    index = scene.room_at(x, y)
    x0, y0, x1, y1 = (
        scene.bounds
        if index is None
        else (
            scene.rooms[index].x_min,
            scene.rooms[index].y_min,
            scene.rooms[index].x_max,
            scene.rooms[index].y_max,
        )
    )
    half = 0.5 * max(x1 - x0, y1 - y0) + 0.1
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    return cx - half, cy - half, cx + half, cy + half


def draw_path(
    rgb: np.ndarray, start: np.ndarray, end: np.ndarray, arrow: str | None = None
) -> np.ndarray:
    """The path from 1 to 2 with M1 in the middle; arrow: 'left' or 'right' of the walk, drawn at
    M1.

    start, end: pixels (u, v). 1 is a white disc, 2 a black one, M1 a magenta dot.
    """
    picture = rgb.copy()
    scale = max(1.0, rgb.shape[1] / 64)
    middle = 0.5 * (start + end)
    _line(picture, start, end, HALO, 2.2 * scale)
    _line(picture, start, end, LINE, 1.0 * scale)
    if arrow is not None:
        ahead = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
        # pixels run down, so left of the walk is (v, -u)
        across = np.array([ahead[1], -ahead[0]]) * (1 if arrow == "left" else -1)
        tip = middle + 9 * scale * across
        _line(picture, middle, tip, MIDPOINT, 1.4 * scale)
        for back in (0.6 * ahead, -0.6 * ahead):
            _line(picture, tip, tip - 4 * scale * (0.8 * across + back), MIDPOINT, 1.4 * scale)
    _disc(picture, middle, 2.0 * scale, MIDPOINT)
    _disc(picture, start, 4.0 * scale, HALO)
    _digit(picture, start, "1", LINE, scale)
    _disc(picture, end, 4.0 * scale, LINE)
    _digit(picture, end, "2", HALO, scale)
    return picture


def _line(
    picture: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, ...], width: float
) -> None:
    p, q = (tuple(round(v * 16 - 8) for v in point) for point in (a, b))
    cv2.line(picture, p, q, colour, max(1, round(width)), cv2.LINE_AA, 4)


def _disc(picture: np.ndarray, middle: np.ndarray, radius: float, colour: tuple[int, ...]) -> None:
    at = tuple(round(v * 16 - 8) for v in middle)
    cv2.circle(picture, at, round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def _digit(
    picture: np.ndarray, middle: np.ndarray, digit: str, colour: tuple[int, ...], scale: float
) -> None:
    dot = max(1, round(scale))
    left, top = round(middle[0] - 1.5 * dot), round(middle[1] - 2.5 * dot)
    for row, line in enumerate(_GLYPHS[digit]):
        for column, mark in enumerate(line):
            if mark == "1":
                u, v = left + column * dot, top + row * dot
                picture[max(v, 0) : max(v + dot, 0), max(u, 0) : max(u + dot, 0)] = colour

"""The colours that objects are named by, and what they look like. Red is missing on purpose: it is
the painted X's.

In: a colour word. Out: RGB 0-255. The first eight are far apart even at 64 pixels under dim light.
"""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "blue": (38, 84, 222),
    "green": (36, 160, 62),
    "yellow": (246, 212, 36),
    "purple": (134, 54, 190),
    "cyan": (58, 206, 222),
    "orange": (246, 138, 22),
    "white": (244, 244, 242),
    "black": (34, 34, 38),
    "pink": (248, 150, 196),
    "brown": (122, 78, 44),
}
ROOM_COLOURS = tuple(COLOURS)[:8]
HOUSE_COLOURS = tuple(COLOURS)
RED_X = (222, 24, 28)
WOOD = (150, 108, 66)
METAL = (84, 86, 92)
SOIL = (62, 46, 34)
LEAF = (52, 122, 48)


def shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """The colour made darker (factor < 1) or lighter, clipped to 0-255."""
    r, g, b = (min(255, max(0, round(v * factor))) for v in colour)
    return r, g, b


def mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """`share` of b in a."""
    r, g, c = (round(u * (1 - share) + v * share) for u, v in zip(a, b, strict=True))
    return r, g, c

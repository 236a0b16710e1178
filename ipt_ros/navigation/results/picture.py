"""One errand drawn: the true map from above and the ways of some arms through it, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OCCUPIED, OccupancyGrid
from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import house_of

#: Pixels of a cell; colour and words of each way, drawn in this order.
SCALE = 4
WAYS = {
    "oracle": ("#2a9d3a", "the true map"),
    "flat": ("#1f6fd0", "unknown costs the same"),
    "imagined": ("#d4371c", "imagined mask"),
}


def picture_of(hurts: dict[str, Any]) -> str:
    """The first of the worst; its house is made again from the seed."""
    tracks = hurts["tracks"]
    grid = true_map(house_of(int(hurts["worst"][0]["errand"].partition("/")[0])))
    height, width = grid.cells.shape
    w, h = SCALE * width, SCALE * height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h + 24}" width="{w}">',
        f'<rect width="{w}" height="{h + 24}" fill="#fff"/>',
        f'<path fill="#333" d="{_walls(grid)}"/>',
    ]
    for name, (colour, _) in WAYS.items():
        points = _points(grid, tracks[name])
        lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="3" stroke-linejoin="round" '
            f'stroke-opacity="0.8" points="{points}"/>'
        )
    start = _points(grid, tracks["oracle"][:1]).split(",")
    end = _points(grid, tracks["oracle"][-1:]).split(",")
    lines.append(f'<circle cx="{start[0]}" cy="{start[1]}" r="6" fill="#000"/>')
    lines.append(
        f'<circle cx="{end[0]}" cy="{end[1]}" r="6" fill="none" stroke="#000" stroke-width="3"/>'
    )
    for k, (colour, words) in enumerate(WAYS.values()):
        x = 6 + k * w // len(WAYS)
        lines.append(
            f'<text x="{x}" y="{h + 17}" font-family="sans-serif" font-size="13" '
            f'fill="{colour}">{words}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _walls(grid: OccupancyGrid) -> str:
    """Occupied cells row by row, north up."""
    height = grid.cells.shape[0]
    parts = []
    for row, cells in enumerate(grid.cells == OCCUPIED):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype(int)))
        y = SCALE * (height - 1 - row)
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            x, length = SCALE * int(begin), SCALE * int(end - begin)
            parts.append(f"M{x} {y}h{length}v{SCALE}h-{length}z")
    return "".join(parts)


def _points(grid: OccupancyGrid, track: Sequence[Sequence[float]]) -> str:
    x0, y0 = grid.origin_xy
    per_m = SCALE / grid.resolution_m
    height = SCALE * grid.cells.shape[0]
    return " ".join(f"{(x - x0) * per_m:.0f},{height - (y - y0) * per_m:.0f}" for x, y, _ in track)

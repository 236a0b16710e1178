"""One errand drawn: the true map from above and the ways of some arms through it, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipt_model.spatial.maps import OCCUPIED, OccupancyGrid
from ipt_ros.navigation.errands.episodes import true_map
from ipt_ros.navigation.errands.houses import house_of

#: Pixels of a cell, and of a line of the legend.
SCALE, LINE = 4, 18
#: Colour, width and words of each way, drawn in this order: where ways are the same, the wider one
#: shows at both sides.
WAYS = {
    "oracle": ("#2a9d3a", 9, "the true map"),
    "flat": ("#1f6fd0", 5, "unknown costs the same everywhere (Nav2 today)"),
    "imagined": ("#d4371c", 2, "imagined mask"),
}


def picture_of(hurts: dict[str, Any]) -> str:
    """The first of the worst; its house is made again from the seed."""
    tracks = hurts["tracks"]
    grid = true_map(house_of(int(hurts["worst"][0]["errand"].partition("/")[0])))
    height, width = grid.cells.shape
    w, h, legend = SCALE * width, SCALE * height, LINE * len(WAYS) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h + legend}" width="{w}">',
        f'<rect width="{w}" height="{h + legend}" fill="#fff"/>',
        f'<path fill="#333" d="{_walls(grid)}"/>',
    ]
    for name, (colour, thick, _) in WAYS.items():
        points = _points(grid, tracks[name])
        lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="{thick}" '
            f'stroke-linejoin="round" points="{points}"/>'
        )
    start = _points(grid, tracks["oracle"][:1]).split(",")
    end = _points(grid, tracks["oracle"][-1:]).split(",")
    lines.append(f'<circle cx="{start[0]}" cy="{start[1]}" r="6" fill="#000"/>')
    lines.append(
        f'<circle cx="{end[0]}" cy="{end[1]}" r="6" fill="none" stroke="#000" stroke-width="3"/>'
    )
    for k, (colour, thick, words) in enumerate(WAYS.values()):
        y = h + LINE * (k + 1)
        lines.append(
            f'<path stroke="{colour}" stroke-width="{thick}" d="M6 {y - 4}h24"/>'
            f'<text x="36" y="{y}" font-family="sans-serif" font-size="13">{words}</text>'
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

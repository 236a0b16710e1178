"""How well the guard tells true drawings from wrong ones:
`python benchmarks/guard_roc.py --real FOLDER`.

In generated test rooms the truth is known, so the picture that a perfect model would draw can be
scored beside wrong ones: the view from a shifted pose, from elsewhere, of another room, noise, a
blank wall. Both as rendered and as a small model draws, shrunk to 16 px and stretched again.
The same on real pictures (`real_frames.py` says what the folder holds); without a folder that part
is left out. Writes benchmarks/results/guard_roc.json, docs/images/guard_roc.png and the tables in
docs/guard.md. Intervals are bootstrapped over rooms or pairs of frames. Needs open3d; no ROS.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import guard_real
import numpy as np
from guard_real import blurred
from pages import put
from real_frames import load_frames
from roc_figure import Panel, auc, curve, draw

from ipt_model.spatial import maps
from ipt_model.spatial.memory import SpatialMemory
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.spatial.recalled import RecalledView
from ipt_ros.answering.guard import map_consistency, view_consistency
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_training.houses.generator import make_scene
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import observed as observe_map
from ipt_training.scenes.grids import occupancy as true_map
from ipt_training.scenes.projection import image_shares
from ipt_training.scenes.scene import Scene
from ipt_training.tasks.geometry import ObjectTable, free_points, is_free

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "guard_roc.json"
PAGE = ROOT / "docs" / "guard.md"
FIGURE = ROOT / "docs" / "images" / "guard_roc.png"

FIRST_SEED = 850_000
CAMERA = Camera.from_fov(64, 48, math.radians(90))
HEIGHT_M, PITCH_RAD, CLEAR_M = 1.2, 0.25, 0.2
#: Per room one motion of each size: metres, degrees of turn.
MOTIONS = {
    "small": ((0.3, 0.7), (10, 35)),
    "medium": ((0.7, 1.1), (35, 60)),
    "large": ((1.1, 1.5), (60, 90)),
}
#: In how many directions, side by side, the robot has looked before it is asked.
LOOKS, LOOK_APART_RAD = (1, 2, 4, 8), math.pi / 4
OVERLAPS = {"below 0.3": (0.0, 0.3), "0.3 to 0.6": (0.3, 0.6), "above 0.6": (0.6, 1.01)}
MAP_PX, CELL_M = 64, 0.1
#: Share of the picture that a thing must fill for its absence to count as wrong.
LARGE = 0.04
#: How wide real frames are when they are taken in; views are drawn at CAMERA's width.
TAKEN_PX = 320
TRUE = "true"
DRAWN = ("as rendered", "as a small model draws")


class Row(NamedTuple):
    """One situation: its room, its overlap, and per way of drawing and kind of picture a score."""

    room: int
    overlap: float
    scores: dict[str, dict[str, float]]


def scored(
    pictures: dict[str, np.ndarray], score: Callable[[np.ndarray], float]
) -> dict[str, dict[str, float]]:
    return {
        how: {kind: score(change(picture)) for kind, picture in pictures.items()}
        for how, change in zip(DRAWN, (lambda p: p, blurred), strict=True)
    }


class Room:
    """A room and places in it to stand."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scene: Scene = make_scene(seed, "room")
        self.renderer = Renderer(self.scene)
        self.rng = np.random.default_rng(seed)
        self._table = ObjectTable.of(self.scene)

    def stand(self) -> tuple[float, float, float]:
        """x, y, yaw of somewhere free."""
        while True:
            points = free_points(self.scene, self._table, self.rng, 32, CLEAR_M)
            if len(points):
                x, y = points[0].tolist()
                return x, y, self.rng.uniform(-math.pi, math.pi)

    def moved(
        self, pose: tuple[float, float, float], metres: float, turn: float
    ) -> tuple[float, float, float] | None:
        """The pose after a step in any direction that is free, or None where there is none."""
        x, y, yaw = pose
        for heading in self.rng.uniform(-math.pi, math.pi, 24):
            to = np.array([[x + metres * math.cos(heading), y + metres * math.sin(heading)]])
            if is_free(self.scene, self._table, to, CLEAR_M)[0]:
                return float(to[0, 0]), float(to[0, 1]), yaw + turn
        return None

    def side(self) -> float:
        return float(self.rng.choice((-1.0, 1.0)))

    def looked_around(self, pose: tuple[float, float, float], looks: int) -> SpatialMemory:
        """What a robot remembers that has turned on the spot, and ends at a pose."""
        x, y, yaw = pose
        side = self.side() * LOOK_APART_RAD
        cameras = [camera_at((x, y, yaw + side * k)) for k in reversed(range(looks))]
        memory = SpatialMemory()
        views = self.renderer.render_many(cameras, CAMERA)
        for stamp_ns, (camera, view) in enumerate(zip(cameras, views, strict=True)):
            memory.add(view.rgb, view.depth_m, CAMERA, camera, stamp_ns)
        return memory

    def without_the_largest(
        self, instance: np.ndarray, at: tuple[float, float, float]
    ) -> np.ndarray | None:
        """The view from a pose as if the thing that fills most of `instance` were not there; None
        where no thing fills `LARGE` of it.
        """
        shares = image_shares(instance, len(self.scene.objects))
        if shares.max(initial=0.0) < LARGE:
            return None
        gone = int(shares.argmax())
        rest = tuple(o for k, o in enumerate(self.scene.objects) if k != gone)
        return Renderer(replace(self.scene, objects=rest)).render(camera_at(at), CAMERA).rgb


def camera_at(pose: tuple[float, float, float]) -> np.ndarray:
    x, y, yaw = pose
    return camera_pose(x, y, yaw, HEIGHT_M, PITCH_RAD)


def view_rows(room: Room, other: Room) -> list[Row]:
    """Of one room: the true view after each motion, and wrong ones."""
    rows = []
    for metres, degrees in MOTIONS.values():
        here = room.stand()
        turn = room.side() * math.radians(room.rng.uniform(*degrees))
        there = room.moved(here, room.rng.uniform(*metres), turn)
        if there is None:
            continue
        x, y, yaw = there
        recalled = room.looked_around(here, int(room.rng.choice(LOOKS))).recall(
            camera_at(there), CAMERA, (CAMERA.height, CAMERA.width)
        )
        poses = {TRUE: there, "elsewhere in the room": room.stand()}
        for shift in (15, 30, 60):
            poses[f"turned {shift} degrees"] = (x, y, yaw + room.side() * math.radians(shift))
        beside = room.moved(there, 0.5, 0.0)
        if beside is not None:
            poses["moved 0.5 m"] = beside
        cameras = [camera_at(pose) for pose in poses.values()]
        views = dict(zip(poses, room.renderer.render_many(cameras, CAMERA), strict=True))
        pictures = {kind: view.rgb for kind, view in views.items()}
        pictures["another room"] = other.renderer.render(camera_at(other.stand()), CAMERA).rgb
        pictures["mirrored"] = np.ascontiguousarray(views[TRUE].rgb[:, ::-1])
        without = room.without_the_largest(
            np.where(recalled.seen, views[TRUE].instance, -1), there
        )
        if without is not None:
            pictures["thing taken out"] = without
        pictures["noise"] = room.rng.integers(0, 256, recalled.rgb.shape, np.uint8)
        # the best guess of a model that has understood nothing but the light
        light = recalled.rgb[recalled.seen].mean(axis=0) if recalled.seen.any() else 127
        pictures["blank wall"] = np.full_like(recalled.rgb, light)

        def score(picture: np.ndarray, recalled: RecalledView = recalled) -> float:
            return view_consistency(picture, recalled)[1]

        rows.append(Row(room.seed, recalled.share_seen, scored(pictures, score)))
    return rows


def map_row(room: Room, other: Room) -> Row:
    """The true map around a robot that looked in two directions, and wrong ones."""
    x, y, yaw = room.stand()
    truth = true_map(room.scene, CELL_M)
    cameras = [camera_at((x, y, yaw + a)) for a in (-0.5, 0.5)]
    depths = [v.depth_m for v in room.renderer.render_many(cameras, CAMERA)]
    seen = observe_map(truth, [(d, CAMERA, c) for d, c in zip(depths, cameras, strict=True)])
    view = maps.MapView.ahead((x, y, yaw), MAP_PX, PictureGeometry())

    def drawn(of: maps.OccupancyGrid, at: tuple[float, float, float]) -> np.ndarray:
        return maps.draw_map(of, maps.MapView.ahead(at, MAP_PX, PictureGeometry()))

    true = drawn(truth, (x, y, yaw))
    angle = room.rng.uniform(-math.pi, math.pi)
    away = np.array([math.cos(angle), math.sin(angle)])
    pictures = {
        TRUE: true,
        "shifted 0.5 m": drawn(truth, (x + 0.5 * away[0], y + 0.5 * away[1], yaw)),
        "shifted 1 m": drawn(truth, (x + away[0], y + away[1], yaw)),
        "turned 90 degrees": np.ascontiguousarray(np.rot90(true)),
        "mirrored": np.ascontiguousarray(true[:, ::-1]),
        "another room": drawn(true_map(other.scene, CELL_M), other.stand()),
        "all free": np.full_like(true, maps.FREE_GREEN),
        "noise": room.rng.integers(0, 256, true.shape, np.uint8),
    }

    def score(picture: np.ndarray) -> float:
        return map_consistency(seen.cells, maps.read_map(picture, view, seen))

    known = float((seen.cells != maps.UNKNOWN).mean())
    return Row(room.seed, known, scored(pictures, score))


# -- from scores to figures -----------------------------------------------------------------------


def summary(rows: list[Row], how: str, kind: str, threshold: float, resamples: int) -> Any:
    """One kind of wrong drawing against the true one, in the situations that have both."""
    table = np.array(
        [(r.room, r.scores[how][TRUE], r.scores[how].get(kind, math.nan)) for r in rows]
    ).reshape(-1, 3)
    table = table[~np.isnan(table).any(axis=1)]
    if len(table) < 20:
        return {"n": len(table)}
    by_room = [np.flatnonzero(table[:, 0] == room) for room in np.unique(table[:, 0])]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        again = np.concatenate([by_room[i] for i in rng.integers(0, len(by_room), len(by_room))])
        true, wrong = table[again, 1], table[again, 2]
        found.append((auc(true, wrong), (wrong >= threshold).mean()))
    low, high = np.percentile(np.array(found), (2.5, 97.5), axis=0)
    return {
        "n": len(table),
        "rooms": len(by_room),
        "auc": round(auc(table[:, 1], table[:, 2]), 4),
        "auc_95": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "passed": round(float((table[:, 2] >= threshold).mean()), 4),
        "passed_95": [round(float(low[1]), 4), round(float(high[1]), 4)],
        "median": round(float(np.median(table[:, 2])), 4),
    }


def figures(rows: list[Row], threshold: float, by_overlap: bool, resamples: int) -> Any:
    """Of one score: true drawings, and per kind of wrong one."""
    bands = {"all": (0.0, 1.01)} | (OVERLAPS if by_overlap else {})
    kinds = [k for k in max((r.scores[DRAWN[0]] for r in rows), key=len) if k != TRUE]
    report: dict[str, Any] = {"threshold": threshold, "situations": len(rows)}
    for how in DRAWN:
        report[how] = {}
        for band, (low, high) in bands.items():
            inside = [r for r in rows if low <= r.overlap < high]
            true = np.array([r.scores[how][TRUE] for r in inside])
            measured = true[~np.isnan(true)]
            report[how][band] = {
                "situations": len(inside),
                "not measurable": int(np.isnan(true).sum()),
                "true passed": round(float((measured >= threshold).mean()), 4),
                "true median": round(float(np.median(measured)), 4),
                "wrong": {k: summary(inside, how, k, threshold, resamples) for k in kinds},
            }
        report[how]["by threshold"] = [
            {"threshold": round(float(t), 2), **rates(rows, how, float(t))}
            for t in np.arange(0.0, 0.96, 0.05)
        ]
    return report


def rates(rows: list[Row], how: str, threshold: float) -> dict[str, float]:
    """Share of true drawings, and of all wrong ones together, that pass."""
    true = [r.scores[how][TRUE] for r in rows]
    wrong = [v for r in rows for k, v in r.scores[how].items() if k != TRUE]

    def passed(values: list[float]) -> float:
        array = np.array(values)
        return round(float((array[~np.isnan(array)] >= threshold).mean()), 4)

    return {"true passed": passed(true), "wrong passed": passed(wrong)}


def panel(title: str, rows: list[Row], how: str, threshold: float) -> Panel:
    """ROC curves of every kind of wrong drawing."""
    curves = []
    for kind in max((r.scores[how] for r in rows), key=len):
        if kind == TRUE:
            continue
        pairs = np.array([(r.scores[how][TRUE], r.scores[how].get(kind, math.nan)) for r in rows])
        true, wrong = pairs[~np.isnan(pairs).any(axis=1)].T
        curves.append(curve(kind, true, wrong, threshold))
    return Panel(title, curves)


def table_lines(report: Any) -> list[str]:
    lines = []
    for name, title in (("view", "views"), ("map", "maps")):
        score = report[name]
        sharp, small = (score[how]["all"] for how in DRAWN)
        lines += [
            f"| {title}: wrong drawing | AUC | passes {score['threshold']} | AUC, small model | "
            f"passes {score['threshold']} |",
            "|---|---|---|---|---|",
        ]
        for kind in sharp["wrong"]:
            cells = []
            for of in (sharp["wrong"][kind], small["wrong"][kind]):
                low, high = of.get("auc_95", (math.nan, math.nan))
                figure = f"{of.get('auc', math.nan):.2f} ({low:.2f}–{high:.2f})"
                cells += [figure, f"{of.get('passed', math.nan):.1%}"]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
        lines.append(
            f"| *the true one* | | {sharp['true passed']:.1%} | | {small['true passed']:.1%} |"
        )
        lines.append("")
    view = report["view"]
    lines += [
        "| overlap of the view | situations | too little to score | true passes "
        "| turned 30 degrees passes | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for band in OVERLAPS:
        for how in DRAWN:
            of = view[how][band]
            turned = of["wrong"]["turned 30 degrees"]
            lines.append(
                f"| {band}, {how} | {of['situations']} | {of['not measurable']} | "
                f"{of['true passed']:.1%} | {turned['passed']:.1%} | {turned['auc']:.2f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rooms", type=int, default=320)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--real", type=Path, help="folder with real frames")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if chosen.real is not None and not (chosen.real / "pose.txt").exists():
        parser.error(f"--real: no pose.txt in {chosen.real}")
    views: list[Row] = []
    grids: list[Row] = []
    other = Room(FIRST_SEED + chosen.rooms)
    for seed in range(FIRST_SEED, FIRST_SEED + chosen.rooms):
        room = Room(seed)
        views += view_rows(room, other)
        grids.append(map_row(room, other))
        other = room
    limits = defaults(IPT_PARAMETERS)
    view_limit, map_limit = limits.min_consistency, limits.min_map_agreement
    report = {
        "rooms": chosen.rooms,
        "seeds": [FIRST_SEED, FIRST_SEED + chosen.rooms - 1],
        "view": figures(views, view_limit, True, chosen.resamples),
        "map": figures(grids, map_limit, False, chosen.resamples),
    }
    panels = [
        panel(f"{title}, {how}", rows, how, limit)
        for title, rows, limit in (("views", views, view_limit), ("maps", grids, map_limit))
        for how in DRAWN
    ]
    lines = table_lines(report)
    put(PAGE, "table", "\n".join(lines))
    print("\n".join(lines))
    if chosen.real is None:
        print("real frames: left out; name their folder with --real")
    else:
        pictures = [other.renderer.render(camera_at(other.stand()), CAMERA).rgb for _ in range(20)]
        frames = load_frames(chosen.real, TAKEN_PX)
        drawn = [frame.rgb for frame in load_frames(chosen.real, CAMERA.width)]
        found = {
            how: guard_real.scores(frames, drawn, pictures, how) for how in guard_real.RECALLED
        }
        report["real views"] = {"threshold": view_limit} | {
            how: guard_real.summary(found[how], view_limit, chosen.resamples) for how in found
        }
        panels += [guard_real.panel(how, found[how], view_limit) for how in found]
        lines = guard_real.table_lines(report["real views"])
        put(PAGE, "real", "\n".join(lines))
        print("\n".join(lines))
    draw(panels, FIGURE)
    chosen.out.parent.mkdir(exist_ok=True)
    chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

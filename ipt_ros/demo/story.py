"""What the demo asks, where it stands, and what the right answers are. The referee: it knows the
world, the robot does not.

Everything is derived from the scene's seed. Nothing here knows about ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ipt_model.spatial import maps
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording import phrasing
from ipt_training.houses.generator import make_scene
from ipt_training.houses.looks import dressed
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.grids import occupancy, reachable
from ipt_training.scenes.projection import image_centres, image_shares
from ipt_training.scenes.scene import Scene
from ipt_training.scenes.standing import Furniture
from ipt_training.tasks.recast import shows_its_colour

#: The simulated robot as long as nobody changes its parameters: a disc of this radius, so tall, m.
STAND_M, HEIGHT_M = 0.2, 1.3
#: Least share of a picture that an object must fill to be asked about.
SHARE = 0.006
#: The largest of the counts that count_objects offers unless it is told otherwise.
MOST_COUNTED = min(PictureGeometry().count_most)


@dataclass(frozen=True)
class CameraMount:
    """The simulated robot's camera on its base: m, rad; the pinhole it has."""

    x: float
    height: float
    pitch: float
    camera: Camera

    def pose(self, x: float, y: float, yaw: float) -> np.ndarray:
        """World from optical camera for a robot at x, y, yaw."""
        return camera_pose(
            x + self.x * math.cos(yaw), y + self.x * math.sin(yaw), yaw, self.height, self.pitch
        )


@dataclass(frozen=True)
class Pose2:
    """Robot base: x, y in m, yaw in rad."""

    x: float
    y: float
    yaw: float

    def moved(self, motion: phrasing.Motion) -> Pose2:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2(
            self.x + c * motion.forward_m - s * motion.left_m,
            self.y + s * motion.forward_m + c * motion.left_m,
            self.yaw + motion.turn_rad,
        )


@dataclass(frozen=True)
class ViewpointQuestion:
    """Stand at `start`: from `viewpoint`, on which side is the object? answer: left or right."""

    start: Pose2
    motion: phrasing.Motion
    viewpoint: Pose2
    object_name: str
    answer: str


@dataclass(frozen=True)
class CountQuestion:
    category: str
    answer: int


class Referee:
    """The world of one seed, and the questions that it makes good ones of."""

    def __init__(
        self,
        seed: int,
        level: str,
        mount: CameraMount,
        radius_m: float = 0.3,
        look: str = "usual",
    ) -> None:
        self.scene: Scene = dressed(make_scene(seed, level), look)
        self.mount = mount
        self._renderer = Renderer(self.scene)
        self._furniture = Furniture(self.scene, HEIGHT_M)
        self.truth = occupancy(self.scene)
        self._rng = np.random.default_rng(seed)
        self._radius_m = radius_m
        room = self.scene.rooms[0]
        middle = (0.5 * (room.x_min + room.x_max), 0.5 * (room.y_min + room.y_max))
        self._free = self._largest_free(middle)

    def _largest_free(self, near: tuple[float, float]) -> np.ndarray:
        """K x 2 places where the robot can stand, all reachable from each other."""
        best = np.zeros((0, 2))
        for offset in np.random.default_rng(0).normal(0.0, 1.2, (40, 2)):
            inside = reachable(
                self.truth, (near[0] + offset[0], near[1] + offset[1]), self._radius_m
            )
            if inside.sum() > len(best):
                best = self.truth.centres()[inside]
            if len(best) > 0.2 * self.truth.cells.size:
                break
        if not len(best):
            raise RuntimeError("nowhere to stand in this world; take another seed")
        return best

    def _pose(self) -> Pose2:
        x, y = self._free[self._rng.integers(len(self._free))]
        return Pose2(float(x), float(y), float(self._rng.uniform(-math.pi, math.pi)))

    def _is_free(self, pose: Pose2) -> bool:
        return bool((np.hypot(*(self._free - (pose.x, pose.y)).T) < 0.08).any())

    def _can_stand(self, pose: Pose2) -> bool:
        """By the simulator's own rule, to which a ball is as wide as its box."""
        return self._furniture.obstacle(pose.x, pose.y, STAND_M) is None

    def _seen(self, pose: Pose2) -> tuple[np.ndarray, np.ndarray]:
        """Share of the picture and middle column (0..1) of every object from a robot pose."""
        small = Camera.from_fov(
            64, 48, 2 * math.atan(0.5 * self.mount.camera.width / self.mount.camera.fx)
        )
        hits = self._renderer.cast_views([self.mount.pose(pose.x, pose.y, pose.yaw)], small)
        count = len(self.scene.objects)
        return (
            image_shares(hits.instance[0], count),
            image_centres(hits.instance[0], count)[:, 0] / small.width,
        )

    def viewpoint_question(self, turns_only: bool = False, wanted: int = 12) -> ViewpointQuestion:
        """An object in sight from both places, clearly on one side of the view to be imagined.

        Of `wanted` such questions the one with most to see.
        """
        found: list[tuple[int, ViewpointQuestion]] = []
        for _ in range(4000):
            start = self._pose()
            if not self._can_stand(start):
                continue
            share, _ = self._seen(start)
            candidates = [
                int(i) for i in np.flatnonzero(share > SHARE) if self.scene.is_unique(int(i))
            ]
            if not candidates:
                continue
            motion = phrasing.round_motion(
                phrasing.Motion(
                    0.0 if turns_only else self._rng.uniform(0.8, 2.2),
                    0.0 if turns_only else self._rng.uniform(-0.8, 0.8),
                    math.radians(self._rng.choice([-60, -45, -30, 30, 45, 60])),
                )
            )
            viewpoint = start.moved(motion)
            if not (self._is_free(viewpoint) and self._can_stand(viewpoint)):
                continue
            share_then, column = self._seen(viewpoint)
            sides = [
                i for i in candidates if share_then[i] > SHARE and abs(column[i] - 0.5) > 0.12
            ]
            if not sides:
                continue
            asked = max(sides, key=lambda i: min(share[i], share_then[i]))
            side = "left" if column[asked] < 0.5 else "right"
            name = self.scene.objects[asked].name
            to_see = int((share > SHARE).sum() + (share_then > SHARE).sum())
            found.append((to_see, ViewpointQuestion(start, motion, viewpoint, name, side)))
            if len(found) == wanted:
                break
        if not found:
            raise RuntimeError("no viewpoint question in this world; take another seed")
        return max(found, key=lambda pair: pair[0])[1]

    def tour(self, begin: Pose2, places: int) -> list[Pose2]:
        """So many places to look around from, each as far as can be from those before and from
        the beginning."""
        found = [begin]
        away = np.full(len(self._free), np.inf)
        while len(found) <= places:
            away = np.minimum(away, np.hypot(*(self._free - (found[-1].x, found[-1].y)).T))
            ordered = self._free[np.argsort(-away)].tolist()
            farthest = (Pose2(x, y, begin.yaw) for x, y in ordered)
            found.append(next(pose for pose in farthest if self._can_stand(pose)))
        return found[1:]

    def count_question(self) -> CountQuestion:
        """The colour that stands around most often, of those that the choices can count and that
        a map shows of every such thing."""
        things = self.scene.objects
        hidden = {o.colour for o in things if not shows_its_colour(o)}
        colours = [o.colour for o in things if o.colour not in hidden]
        fit = [c for c in sorted(set(colours)) if colours.count(c) <= MOST_COUNTED]
        colour = max(fit or sorted(set(colours)), key=colours.count)
        return CountQuestion(f"{colour} object", colours.count(colour))

    def top_down(self) -> np.ndarray:
        """The world from above, without its ceiling."""
        return self._renderer.top_down().rgb

    def path_is_clear(self, points: np.ndarray, radius_m: float) -> bool:
        """N x 2 points, m: whether a disc of that radius can be moved along them."""
        clear = _distance_to(self.truth.cells >= 50, self.truth.resolution_m)
        row, col = self.truth.indices(points)
        return bool(self.truth.inside(row, col).all() and (clear[row, col] >= radius_m).all())

    def _in_a_room(self, point: np.ndarray) -> bool:
        x, y = point
        return any(
            room.x_min + 0.4 < x < room.x_max - 0.4 and room.y_min + 0.4 < y < room.y_max - 0.4
            for room in self.scene.rooms
        )

    def doubtful_path(
        self,
        known: maps.OccupancyGrid,
        robot: Pose2,
        radius_m: float,
        pictures: PictureGeometry,
    ) -> np.ndarray:
        """A straight path (N x 2) from the robot into the least known space that sight does not
        block, such that the model's map shows it to a robot that faces along it.
        """
        blocked_seen = _distance_to(known.cells >= 50, known.resolution_m)
        unseen = _distance_to(known.cells == maps.UNKNOWN, known.resolution_m)
        best, most = None, -1
        here = np.array([robot.x, robot.y])
        for angle in np.linspace(-math.pi, math.pi, 72, endpoint=False):
            shown = maps.MapView.ahead((robot.x, robot.y, float(angle)), 64, pictures)
            for length in (1.5, 2.0, 2.5, 3.0, 3.5):
                steps = np.arange(0.0, length + 1e-6, 0.1)
                line = here + steps[:, None] * (math.cos(angle), math.sin(angle))
                row, col = known.indices(line)
                if not (known.inside(row, col).all() and shown.shows(line, pictures).all()):
                    continue
                if (blocked_seen[row, col] < radius_m).any() or not self._in_a_room(line[-1]):
                    continue
                unknown = int((unseen[row, col] < radius_m).sum())
                if unknown > most:
                    best, most = line, unknown
        if best is None:
            raise RuntimeError("the robot stands too close to something for any straight path")
        return best


def _distance_to(blocked: np.ndarray, resolution_m: float) -> np.ndarray:
    """Distance of every cell from the nearest blocked one, m."""
    import cv2

    free = (~blocked).astype(np.uint8)
    return cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * resolution_m

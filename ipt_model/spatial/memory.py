"""What a robot has seen, as one memory: any view of it can be recalled, and every pixel says
whether it was seen.

In: colour and depth pictures with poses. Out: `RecalledView`s, from any pinhole or from above, and
occupancy. Bounded in number and bytes. No ROS, no model, nothing on disk. Any thread may call.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ipt_model.spatial.geometry import beside
from ipt_model.spatial.lens import Lens, Pinhole
from ipt_model.spatial.maps import MapView, OccupancyGrid
from ipt_model.spatial.recalled import RecalledView
from ipt_model.spatial.views.depth import clean
from ipt_model.spatial.views.floor import Floors, Ground
from ipt_model.spatial.views.from_above import filled_from_above
from ipt_model.spatial.views.keeping import compare, erase_gone
from ipt_model.spatial.views.recalling import recall
from ipt_model.spatial.views.remembered import RememberedView
from ipt_model.spatial.views.targets import PinholeTarget, TopDownTarget

#: Surfaces are remembered between these distances, m; beyond, depth is noise.
NEAR_M, FAR_M = 0.1, 12.0
#: A picture with less of it known than this is no use, and its unit is in doubt.
LEAST_KNOWN = 0.02
#: A camera that has not moved this far since a view of less than REFRESH_S ago shows nothing new.
SAME_PLACE_M, SAME_TURN_RAD, REFRESH_S = 0.05, math.radians(3), 2.0
#: Of an extent: the share of points that may lie beyond it on each side, and its border, m.
OUTLIERS, BEYOND_M = 0.03, 0.1
#: Of cameras without depth, another place and direction is all that tells views apart.
ELSEWHERE_M, ELSEWHERE_RAD = 0.5, 0.5
#: A camera may be this far off, m, before it is said to have jumped.
SLACK_M = 0.5
#: A view that adds no more than this to what others show is not kept; it may still correct them.
ADDS_NOTHING = 0.02


class ViewRefused(ValueError):
    """A view that cannot be remembered; the message says why."""


@dataclass(frozen=True)
class MemoryLimits:
    """number, n_bytes: of all views together. age_s: older than the newest by more is forgotten.
    fastest_m_s: a camera that seems to have moved faster was put elsewhere, or its pose has
    jumped: all that was seen before is forgotten. None: any pose is believed.
    """

    number: int = 64
    n_bytes: int = 64 * 1024 * 1024
    age_s: float = math.inf
    fastest_m_s: float | None = None


class SpatialMemory:
    """Views with depth and poses, kept by what each adds; what a newer one sees through is gone.

    counts: what happened so far: `dropped`, `contradicted`, `jumps`.
    """

    def __init__(self, limits: MemoryLimits | None = None) -> None:
        self.limits = limits or MemoryLimits()
        self.counts: Counter[str] = Counter()
        #: Held while views are taken in; who only looks takes the list as it is, which is never
        #: changed but replaced.
        self._lock = threading.RLock()
        self._mapping = threading.Lock()
        self._views: tuple[RememberedView, ...] = ()
        #: By two views: which samples of the first the second sees again.
        self._again: dict[tuple[int, int], np.ndarray] = {}
        #: When and where each camera was last.
        self._last: dict[str, tuple[int, np.ndarray]] = {}
        #: When a camera was last seen to have jumped: views of before are of another world.
        self._jumped_ns = -math.inf
        self._floors = Floors()

    def __len__(self) -> int:
        return len(self._views)

    @property
    def n_bytes(self) -> int:
        return sum(view.n_bytes for view in self._views)

    @property
    def views(self) -> list[RememberedView]:
        """Oldest first."""
        return list(self._views)

    def clear(self) -> None:
        with self._lock:
            self._views = ()
            self._last = {}
            self._jumped_ns = -math.inf
            self._again.clear()

    # -- what comes in
    def add(
        self,
        rgb: np.ndarray,
        depth_m: np.ndarray | None,
        camera: Pinhole,
        world_from_camera: np.ndarray,
        stamp_ns: int,
        name: str = "camera",
    ) -> bool:
        """Take a view in; False when it adds nothing to the others and is not kept.

        rgb: H x W x 3 uint8. depth_m: H x W along the optical axis, 0 or not finite where unknown;
        None for a camera without depth, of which nothing can be recalled. camera: pinhole, pixel
        centres at .5. world_from_camera: 4 x 4, optical. name: of the camera.

        Raises ViewRefused.
        """
        check(rgb, depth_m, camera, world_from_camera)
        if not self.wants(world_from_camera, stamp_ns, name):
            return False
        depth = np.zeros(rgb.shape[:2], np.float32)
        if depth_m is not None:
            depth = clean(depth_m, NEAR_M, FAR_M)
            known = float((depth > 0).mean())
            if known < LEAST_KNOWN:
                raise ViewRefused(
                    f"depth: {100 * known:.1f} % of it lies between {NEAR_M} and {FAR_M} m, "
                    f"expected at least {100 * LEAST_KNOWN:.0f} %; is it in metres?"
                )
        with self._lock:
            origin = world_from_camera[:3, 3].copy() if not self._views else self._views[0].origin
            view = RememberedView(rgb, depth, camera, world_from_camera, origin, stamp_ns, name)
            if self._comes_too_late(view):
                return False
            self._settle(view)
            self._views = tuple(sorted((*self._views, view), key=lambda v: v.stamp_ns))
            self._forget_old()
            if len(self._views) > 1 and self.adds(view) <= ADDS_NOTHING:
                self._drop(view)
            while len(self._views) > 1 and (
                len(self._views) > self.limits.number
                or sum(v.n_bytes for v in self._views) > self.limits.n_bytes
            ):
                self._drop(min(self._views, key=lambda v: (self.adds(v), v.stamp_ns)))
            return view in self._views

    def wants(self, world_from_camera: np.ndarray, stamp_ns: int, name: str = "camera") -> bool:
        """Whether a view from there, now, may show something new; if not, it need not be decoded.
        Notices by the pose alone when a camera has jumped: then all that was seen is forgotten.
        """
        self.follow(world_from_camera, stamp_ns, name)
        return stamp_ns >= self._jumped_ns and not any(
            view.name == name
            and 0 <= stamp_ns - view.stamp_ns < REFRESH_S * 1e9
            and beside(view.world_from_camera, world_from_camera, SAME_PLACE_M, SAME_TURN_RAD)
            for view in self._views
        )

    def follow(self, pose: np.ndarray, stamp_ns: int, name: str = "camera") -> None:
        """Where a camera is now: when it has moved faster than it can, all is forgotten."""
        last_ns, last = self._last.get(name, (stamp_ns, pose))
        if stamp_ns < max(last_ns, self._jumped_ns) or not np.isfinite(pose).all():
            return  # late news; what is no pose is refused elsewhere
        self._last[name] = stamp_ns, pose
        moved_m = float(np.linalg.norm(pose[:3, 3] - last[:3, 3]))
        fastest = self.limits.fastest_m_s
        if fastest is not None and moved_m > SLACK_M + fastest * (stamp_ns - last_ns) * 1e-9:
            with self._lock:
                self.counts["jumps"] += 1
                self.clear()
                self._last[name] = stamp_ns, pose
                self._jumped_ns = stamp_ns

    def adds(self, view: RememberedView) -> float:
        """0 to 1: the share of what a view shows that no other remembered one shows as well."""
        with self._lock:
            if not len(view.sample_z):
                return 1.0 - float(
                    any(
                        other.name == view.name
                        and other.stamp_ns < view.stamp_ns
                        and beside(
                            other.world_from_camera,
                            view.world_from_camera,
                            ELSEWHERE_M,
                            ELSEWHERE_RAD,
                        )
                        for other in self._views
                    )
                )
            again = [self._again.get((id(view), id(o))) for o in self._views if o is not view]
            known = [one for one in again if one is not None]
            return 1.0 - float(np.logical_or.reduce(known).mean()) if known else 1.0

    # -- what comes out
    def recall(
        self, world_from_camera: np.ndarray, camera: Pinhole, size: tuple[int, int]
    ) -> RecalledView:
        """What a camera would see there, as far as it was seen. size: height, width."""
        if world_from_camera.shape != (4, 4) or not np.isfinite(world_from_camera).all():
            raise ValueError("world_from_camera: expected a finite 4 x 4 matrix")
        local = world_from_camera.copy()
        views = self._views
        local[:3, 3] -= origin_of(views)
        return recall(views, PinholeTarget(Lens.of(camera), local, size))

    def recall_top_down(self, view: MapView, below_m: float) -> RecalledView:
        """A square of the floor from straight above, north up, without what is higher than
        below_m. Its depth is counted from there down."""
        views = self._views
        eyes_m = max((float(one.local[2, 3]) for one in views), default=0.0)
        found = recall(views, TopDownTarget(view, below_m, origin_of(views), eyes_m))
        return replace(found, filling=filled_from_above(found, view.side_m / view.size_px))

    def extent(self, xy: tuple[float, float], reach_m: float) -> tuple[float, float, float] | None:
        """The square around what views from within reach of a place show: x_min, y_min and side,
        m; None where they show nothing. What only a few points lie beyond is left out: one look
        through a door does not make the room larger.
        """
        views = self._views
        near = [
            view.samples
            for view in views
            if math.dist(view.world_from_camera[:2, 3], xy) <= reach_m and len(view.sample_z)
        ]
        if not near:
            return None
        x, y = (np.concatenate([p[axis] for p in near]) for axis in (0, 1))
        low, high = np.quantile(np.stack([x, y]), (OUTLIERS, 1 - OUTLIERS), axis=1)
        middle = 0.5 * (low + high) + origin_of(views)[:2]
        side_m = float((high - low).max()) + 2 * BEYOND_M
        return float(middle[0] - 0.5 * side_m), float(middle[1] - 0.5 * side_m), side_m

    def occupancy(
        self,
        shape: OccupancyGrid,
        robot_height_m: float = 1.3,
        floor_m: float = 0.0,
        footprint_m: float = 0.0,
    ) -> OccupancyGrid:
        """What was seen of the floor: free, occupied or never seen.

        shape: a grid of which origin, resolution, size and turn are read. robot_height_m: what is
        higher above the floor cannot be hit. floor_m: how high the floor lies in the frame of the
        poses. footprint_m: nothing stood within this of a camera.
        """
        ground = Ground.of(shape, robot_height_m, floor_m, footprint_m)
        with self._mapping:
            return self._floors.grid(self._views, shape, ground)

    # -- inside
    def _comes_too_late(self, view: RememberedView) -> bool:
        """Whether a view that took longer on its way than newer ones is of before a jump, or shows
        a world that one of them contradicts."""
        if view.stamp_ns < self._jumped_ns:
            return True
        newer = (other for other in self._views if other.stamp_ns > view.stamp_ns)
        contradicted = any(compare(view, other).contradicts for other in newer)
        self.counts["contradicted"] += contradicted
        return contradicted

    def _settle(self, view: RememberedView) -> None:
        """Compare a view with all others: newer sight corrects older, either way round. None of
        the newer ones contradicts it."""
        for other in list(self._views):
            older, newer = (other, view) if other.stamp_ns <= view.stamp_ns else (view, other)
            found = compare(older, newer)
            if found.contradicts:
                self.counts["contradicted"] += 1
                self._drop(other)
                continue
            if found.through:
                erase_gone(older, newer)
            self._again[id(older), id(newer)] = found.again
            self._again[id(newer), id(older)] = compare(newer, older).again

    def _forget_old(self) -> None:
        newest = self._views[-1].stamp_ns
        for view in list(self._views):
            if newest - view.stamp_ns > self.limits.age_s * 1e9:
                self._drop(view)

    def _drop(self, view: RememberedView) -> None:
        self._views = tuple(v for v in self._views if v is not view)
        self.counts["dropped"] += 1
        self._again = {pair: m for pair, m in self._again.items() if id(view) not in pair}


def origin_of(views: Sequence[RememberedView]) -> np.ndarray:
    """Of the local frame of these views, which they share."""
    return views[0].origin if views else np.zeros(3)


def check(
    rgb: np.ndarray, depth_m: np.ndarray | None, camera: Pinhole, world_from_camera: np.ndarray
) -> None:
    """Refuse what is no view."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ViewRefused(f"rgb: expected H x W x 3 uint8, got {rgb.shape} {rgb.dtype}")
    if depth_m is not None and depth_m.shape != rgb.shape[:2]:
        raise ViewRefused(
            f"depth_m: expected the size of rgb {rgb.shape[:2]}, got {depth_m.shape}"
        )
    if not all(math.isfinite(v) for v in (camera.cx, camera.cy)) or not (
        0 < camera.fx < math.inf and 0 < camera.fy < math.inf
    ):
        raise ViewRefused(
            f"camera: expected finite numbers and positive focal lengths, got {camera}"
        )
    pose = world_from_camera
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ViewRefused("world_from_camera: expected a finite 4 x 4 matrix")
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise ViewRefused("world_from_camera: expected a rotation and a place, got another matrix")

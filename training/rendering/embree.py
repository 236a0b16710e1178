"""Ray-cast pictures of a scene on the CPU: RGB, depth, instances, from a camera or from above. No
OpenGL.

In: a `Scene`, poses and cameras. Out: `View`s and `TopDown`s, the same pixels on every machine.
Rays go through Embree (open3d's RaycastingScene); depth and instance are those of the ray through
a pixel's centre, colour is averaged over four rays where surfaces meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ipt_training.rendering.mesh import Mesh, mesh_of
from ipt_training.rendering.shading import (
    CEILING_FACTOR,
    OUTSIDE,
    SKIRTING_M,
    WALL_TOP_FACTOR,
    FloorLook,
    contact,
    dim,
    floor_colour,
    floor_look,
    skirting,
)
from ipt_training.scenes.camera import Camera, View
from ipt_training.scenes.mark import SUBPIXELS, FloorMark
from ipt_training.scenes.projection import pixel_rays
from ipt_training.scenes.scene import CEILING, FLOOR, NOTHING, WALL, Scene, SceneError

__all__ = ["FloorMark", "Hits", "Renderer", "TopDown"]

_MISS = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True)
class TopDown:
    """The house from straight above without its ceiling, north (y) up.

    rgb: H x W x 3 uint8. instance: H x W int32 as in `View`, NOTHING outside the house. height_m:
    H x W float32, of the highest surface. A pixel is `resolution_m` wide; the picture's upper left
    corner is at (x_min, y_max).
    """

    rgb: np.ndarray
    instance: np.ndarray
    height_m: np.ndarray
    x_min: float
    y_max: float
    resolution_m: float

    def pixel_of(self, xy: np.ndarray) -> np.ndarray:
        """... x 2 world points to ... x 2 pixels (u right, v down), pixel centres at .5."""
        p = (np.asarray(xy, np.float64) - (self.x_min, self.y_max)) / self.resolution_m
        return np.asarray(p * (1, -1))


@dataclass(frozen=True)
class Hits:
    """What rays met. depth_m: float32, in lengths of the ray's direction, 0 for nothing. instance:
    int32.
    """

    depth_m: np.ndarray
    instance: np.ndarray


#: (flat pixel indices or all of them, N x 2 offsets in the pixel) -> (origins N x 3, directions N
#: x 3), float32
_Rays = Callable[[np.ndarray | None, np.ndarray], tuple[np.ndarray, np.ndarray]]
_CENTRE = np.zeros((1, 2), np.float32)


class Renderer:
    """Draws one scene. The first picture costs a few ms more (shadow map, ray tree).

    threads: how many cores ray casting uses; 0 uses all, 1 suits one process per core.
    """

    def __init__(self, scene: Scene, threads: int = 1) -> None:
        _open3d()  # a machine without it is told now, not at the first picture
        self.scene = scene
        self.threads = threads

    @cached_property
    def _mesh(self) -> Mesh:
        return mesh_of(self.scene)

    @cached_property
    def _look(self) -> FloorLook:
        return floor_look(self.scene)

    @cached_property
    def _inside(self) -> Any:
        return self._tree(ceiling=True)

    @cached_property
    def _open(self) -> Any:
        return self._tree(ceiling=False)

    def _tree(self, ceiling: bool) -> Any:
        open3d = _open3d()
        # the two triangles of the ceiling come last
        count = len(self._mesh.triangles) - (0 if ceiling else 2)
        tree = open3d.t.geometry.RaycastingScene(nthreads=self.threads)
        tree.add_triangles(
            open3d.core.Tensor.from_numpy(self._mesh.vertices),
            open3d.core.Tensor.from_numpy(self._mesh.triangles[:count].astype(np.uint32)),
        )
        return tree

    def render(
        self, world_from_camera: np.ndarray, camera: Camera, marks: Sequence[FloorMark] = ()
    ) -> View:
        """One picture from a 4 x 4 pose."""
        return self.render_many([world_from_camera], camera, marks)[0]

    def render_many(
        self,
        poses: Sequence[np.ndarray],
        camera: Camera,
        marks: Sequence[FloorMark] = (),
    ) -> list[View]:
        """One picture per pose, cast together."""
        if len(poses) == 0:
            return []
        turns, eyes = _split(poses)
        n = camera.height * camera.width
        rays = pixel_rays(camera).reshape(-1, 3)
        inverse_focal = np.array([1 / camera.fx, 1 / camera.fy], np.float32)

        def make(index: np.ndarray | None, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if index is None:
                directions = (rays @ turns.transpose(0, 2, 1)).reshape(-1, 3)
                return np.repeat(eyes, n, axis=0), directions
            which, pixel = np.divmod(index, n)
            local = rays[pixel]
            local[:, :2] += offset * inverse_focal
            if len(turns) == 1:
                return np.broadcast_to(eyes[0], local.shape), local @ turns[0].T
            return eyes[which], np.einsum("nij,nj->ni", turns[which], local)

        shape = (len(poses), camera.height, camera.width)
        rgb, depth, instance = self._picture(self._inside, make, shape, 1 / camera.fx, marks)
        return [View(rgb[i], depth[i], instance[i]) for i in range(len(poses))]

    def cast_views(self, poses: Sequence[np.ndarray], camera: Camera) -> Hits:
        """Depth and instance, P x H x W, without colour: for choosing among many viewpoints."""
        turns, eyes = _split(poses)
        rays = pixel_rays(camera).reshape(-1, 3)
        directions = (rays @ turns.transpose(0, 2, 1)).reshape(-1, 3)
        hits = self.cast(np.repeat(eyes, len(rays), axis=0), directions)
        shape = (len(poses), camera.height, camera.width)
        return Hits(hits.depth_m.reshape(shape), hits.instance.reshape(shape))

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Any rays: N x 3 origins and directions, world; depth in lengths of each direction."""
        distance, triangle, _ = self._cast(self._inside, origins, directions)
        instance = self._mesh.instance[triangle]
        distance[instance == NOTHING] = 0
        return Hits(distance, instance)

    def sees(
        self, points: np.ndarray, world_from_camera: np.ndarray, slack_m: float = 0.02
    ) -> np.ndarray:
        """Whether nothing stands between the camera's position and each of N x 3 points; bool.
        Ignores the frame.
        """
        points = np.asarray(points, np.float32)
        eye = np.asarray(world_from_camera[:3, 3], np.float32)
        ways = points - eye
        length = np.linalg.norm(ways, axis=1)
        hits = self.cast(
            np.broadcast_to(eye, points.shape), ways / np.maximum(length, 1e-6)[:, None]
        )
        return np.asarray((hits.depth_m == 0) | (hits.depth_m >= length - slack_m))

    def top_down(
        self,
        bounds: tuple[float, float, float, float] | None = None,
        resolution_m: float = 0.05,
        marks: Sequence[FloorMark] = (),
    ) -> TopDown:
        """From above. bounds: x_min, y_min, x_max, y_max, m; the whole house when None."""
        x0, y0, x1, y1 = bounds if bounds is not None else self.scene.bounds
        if not (x1 > x0 and y1 > y0 and resolution_m > 0):
            raise SceneError(
                f"top_down: expected a rectangle with an area and a positive resolution, got "
                f"{(x0, y0, x1, y1)} at {resolution_m} m"
            )
        w = max(1, round((x1 - x0) / resolution_m))
        h = max(1, round((y1 - y0) / resolution_m))
        top = self.scene.wall_height_m + 0.5

        def make(index: np.ndarray | None, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pixel = np.arange(h * w) if index is None else index
            row, col = np.divmod(pixel, w)
            origins = np.empty((len(pixel), 3), np.float32)
            origins[:, 0] = x0 + (col + (0.5 + offset[:, 0])) * resolution_m
            origins[:, 1] = y1 - (row + (0.5 + offset[:, 1])) * resolution_m
            origins[:, 2] = top
            directions = np.zeros_like(origins)
            directions[:, 2] = -1
            return origins, directions

        rgb, depth, instance = self._picture(
            self._open, make, (1, h, w), resolution_m, marks, from_above=True
        )
        height = np.where(instance[0] == NOTHING, 0, top - depth[0]).astype(np.float32)
        return TopDown(rgb[0], instance[0], height, x0, y1, resolution_m)

    def _cast(
        self, tree: Any, origins: np.ndarray, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (inf for nothing), row of the mesh tables, barycentric u, v at each hit."""
        open3d = _open3d()
        rays = np.empty((len(directions), 6), np.float32)
        rays[:, :3] = origins
        rays[:, 3:] = directions
        found = tree.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=self.threads)
        triangle = found["primitive_ids"].numpy()
        triangle = np.where(triangle == _MISS, len(self._mesh.triangles), triangle).astype(
            np.int32
        )
        return found["t_hit"].numpy(), triangle, found["primitive_uvs"].numpy()

    def _picture(
        self,
        tree: Any,
        make: _Rays,
        shape: tuple[int, int, int],
        pixel: float,
        marks: Sequence[FloorMark],
        from_above: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """rgb P x H x W x 3 uint8, depth float32, instance int32. pixel: rad, or m from above."""
        mesh = self._mesh
        origins, directions = make(None, _CENTRE)
        distance, triangle, uv = self._cast(tree, origins, directions)
        instance = mesh.instance[triangle]
        surface = mesh.surface[triangle]
        distance[instance == NOTHING] = 0
        colour, mark, outside = self._shade(
            origins, directions, distance, triangle, instance, uv, pixel, marks, from_above
        )
        instance[outside] = NOTHING
        surface[outside] = -1
        mixed = _edges(surface.reshape(shape))
        mixed |= mark.reshape(shape)
        where = np.flatnonzero(mixed)
        if len(where):
            count = len(SUBPIXELS)
            o, d = make(np.repeat(where, count), np.tile(SUBPIXELS, (len(where), 1)))
            t, tri, b = self._cast(tree, o, d)
            ids = mesh.instance[tri]
            t[ids == NOTHING] = 0
            fine = self._shade(o, d, t, tri, ids, b, pixel, marks, from_above)[0]
            colour[where] = fine.reshape(-1, count, 3).mean(1)
        colour *= 255
        np.minimum(colour, 255, out=colour)
        rgb = (colour + np.float32(0.5)).astype(np.uint8)
        return rgb.reshape(*shape, 3), distance.reshape(shape), instance.reshape(shape)

    def _shade(
        self,
        origins: np.ndarray,
        directions: np.ndarray,
        distance: np.ndarray,
        triangle: np.ndarray,
        instance: np.ndarray,
        uv: np.ndarray,
        pixel: float,
        marks: Sequence[FloorMark],
        from_above: bool,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours N x 3 float32 0-1; which points are on or near a floor mark; indices of points
        outside the house.
        """
        mesh, wall_height = self._mesh, self.scene.wall_height_m
        light = mesh.light[triangle, 0]
        round_ = np.flatnonzero(mesh.curved[triangle])
        if len(round_):
            corner = mesh.light[triangle[round_]]
            bary = uv[round_]
            light[round_] += bary[:, 0] * (corner[:, 1] - corner[:, 0])
            light[round_] += bary[:, 1] * (corner[:, 2] - corner[:, 0])
        if not from_above:
            light *= dim(distance)
        z = origins[:, 2] + distance * directions[:, 2]
        floor = np.flatnonzero(instance == FLOOR)
        shaded = contact(z, wall_height)
        if from_above:
            shaded[instance == WALL] = WALL_TOP_FACTOR
        shaded[instance == CEILING] = CEILING_FACTOR
        wall = np.flatnonzero((instance == WALL) & (z < 2 * SKIRTING_M))
        shaded[wall] *= skirting(z[wall], np.float32(pixel) * distance[wall])
        shaded[floor] = 1
        shaded[instance == NOTHING] = 1
        light *= shaded
        colour = mesh.colour[triangle] * light[:, None]
        marked = np.zeros(len(distance), bool)
        outside = np.empty(0, np.int64)
        if len(floor):
            o, d, t = origins[floor], directions[floor], distance[floor]
            x, y = o[:, 0] + t * d[:, 0], o[:, 1] + t * d[:, 1]
            # along the view a pixel covers more floor, the flatter the more; mean of both
            # directions
            cover = np.float32(pixel) * (t if not from_above else np.float32(1))
            if not from_above:
                length = np.sqrt((d * d).sum(1))
                cover = cover * np.sqrt(np.minimum(length / np.maximum(-d[:, 2], 1e-3), 25))
            cover = np.broadcast_to(np.asarray(cover, np.float32), t.shape)
            unlit, room = floor_colour(self._look, x, y, cover)
            for mark in marks:
                close = mark.near(x, y, cover)
                if close.any():
                    painted = close & mark.covers(x, y)
                    unlit[painted] = np.array(mark.colour, np.float32) / np.float32(255)
                    marked[floor[close]] = True
            unlit *= light[floor][:, None]
            colour[floor] = unlit
            outside = floor[room == 255]
            colour[outside] = OUTSIDE
        return colour, marked, outside


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:  # OSError: a system library is missing
        raise SceneError(
            f"pictures of made worlds need open3d ({error}): pip install -r "
            "requirements/simulator.txt, and apt install libusb-1.0-0 libgomp1"
        ) from error
    return open3d


def _split(poses: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rotations P x 3 x 3 and positions P x 3, float32; refuses all but finite 4 x 4 poses."""
    stack = np.asarray(poses, np.float64)
    if stack.ndim != 3 or stack.shape[1:] != (4, 4) or not np.isfinite(stack).all():
        raise SceneError(f"pose: expected finite 4 x 4 matrices, got shape {stack.shape}")
    return stack[:, :3, :3].astype(np.float32), stack[:, :3, 3].astype(np.float32)


def _edges(surface: np.ndarray) -> np.ndarray:
    """Pixels next to another surface: P x H x W bool."""
    edge = np.zeros(surface.shape, bool)
    across = surface[:, :, 1:] != surface[:, :, :-1]
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    down = surface[:, 1:] != surface[:, :-1]
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    return edge

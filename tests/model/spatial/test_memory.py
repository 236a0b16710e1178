"""The memory of space, by its contract: what is called seen was seen, and still holds."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import ipt_model.spatial.memory as spatial_memory
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL
from ipt_model.spatial.lens import Lens
from ipt_model.spatial.maps import FREE, OCCUPIED, UNKNOWN, MapView, OccupancyGrid
from ipt_model.spatial.memory import MemoryLimits, SpatialMemory, ViewRefused
from ipt_model.spatial.recalled import HOLE_RGB

WIDTH, HEIGHT = 160, 120
LENS = Lens(80.0, 80.0, 80.0, 60.0)
SECOND = 1_000_000_000


def pose(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, z: float = 1.0) -> np.ndarray:
    """World from an optical camera that looks along its heading."""
    c, s = math.cos(yaw), math.sin(yaw)
    body = np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]])
    return body @ BODY_FROM_OPTICAL


class Room:
    """Boxes in space, each with its colour, looked at exactly: rays against their sides."""

    def __init__(self, *boxes: tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]):
        """Each box: its lowest and highest corner, m, and its colour."""
        self.boxes = boxes

    def look(
        self,
        world_from_camera: np.ndarray,
        lens: Lens = LENS,
        size: tuple[int, int] = (HEIGHT, WIDTH),
    ) -> tuple[np.ndarray, np.ndarray]:
        u, v = lens.slopes(size[1], size[0])
        own = np.stack([*np.meshgrid(u, v), np.ones(size)], axis=-1).astype(float)
        ray = own @ world_from_camera[:3, :3].T
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        eye = world_from_camera[:3, 3]
        depth, rgb = np.full(size, np.inf), np.zeros((*size, 3), np.uint8)
        for low, high, colour in self.boxes:
            one, other = (np.array(low) - eye) / ray, (np.array(high) - eye) / ray
            enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
            # from inside, a box is a room: its walls are where the ray leaves
            at = np.where(enter > 0, enter, leave)
            hit = (enter <= leave) & (leave > 0) & (at < depth)
            depth[hit], rgb[hit] = at[hit], colour
        return rgb, np.where(np.isfinite(depth), depth, 0).astype(np.float32)

    def shown_to(self, memory: SpatialMemory, at: np.ndarray, stamp_ns: int, name="camera"):
        rgb, depth = self.look(at)
        return memory.add(rgb, depth, LENS, at, stamp_ns, name)


HALL = ((-4.0, -4.0, 0.0), (4.0, 4.0, 2.5), (200, 200, 200))
CHAIR = ((1.5, -0.4, 0.0), (2.1, 0.4, 1.2), (220, 30, 30))


def turned_once(room: Room, memory: SpatialMemory, start_ns: int = 0) -> None:
    for k in range(4):
        room.shown_to(memory, pose(yaw=k * math.pi / 2), start_ns + k * SECOND)


def red(view) -> np.ndarray:
    return view.seen & (view.rgb[..., 0] > 150) & (view.rgb[..., 1] < 90)


# -- what is recalled


def test_a_view_from_its_own_place_is_the_picture_itself() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 7)
    rgb, depth = room.look(pose())
    found = memory.recall(pose(), LENS, (HEIGHT, WIDTH))
    assert found.share_seen > 0.98
    assert (found.rgb[found.seen] == rgb[found.seen]).mean() > 0.99
    assert np.abs(found.depth_m - depth)[found.seen].max() < 0.01
    assert found.stamps_ns == (7,)
    assert (found.rgb[~found.seen] == HOLE_RGB).all() and (found.depth_m[~found.seen] == 0).all()


@pytest.mark.parametrize("place", [(0.8, 0.0, 0.3), (-0.5, 1.0, -0.6), (0.4, -1.2, 1.4)])
def test_what_is_called_seen_is_there(place) -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    turned_once(room, memory)
    rgb, depth = room.look(pose(*place))
    found = memory.recall(pose(*place), LENS, (HEIGHT, WIDTH))
    right = np.abs(found.depth_m - depth) < 0.15 + 0.05 * depth
    assert found.share_seen > 0.45
    assert right[found.seen].mean() > 0.99
    same = np.abs(found.rgb.astype(int) - rgb).max(-1) < 30
    assert same[found.seen].mean() > 0.98


def test_behind_a_thing_nothing_was_seen() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 0)
    behind = memory.recall(pose(3.0, 0.0, math.pi), LENS, (HEIGHT, WIDTH))
    assert not red(behind).any()  # the back of the chair; its front is no part of that view
    _, depth = room.look(pose(3.0, 0.0, math.pi))
    wrong = np.abs(behind.depth_m - depth) > 0.15 + 0.05 * depth
    assert wrong[behind.seen].mean() < 0.01 if behind.seen.any() else True


def test_source_says_which_view_a_pixel_is_from() -> None:
    memory, room = SpatialMemory(), Room(HALL)
    room.shown_to(memory, pose(), 10 * SECOND)
    room.shown_to(memory, pose(yaw=math.pi / 2), 20 * SECOND)
    found = memory.recall(pose(yaw=math.pi / 4), LENS, (HEIGHT, WIDTH))
    assert found.stamps_ns == (10 * SECOND, 20 * SECOND)
    columns = np.where(found.seen, found.source, -1)
    assert np.median(columns[:, 120:150][found.seen[:, 120:150]]) == 0  # right: the first view
    assert np.median(columns[:, 10:40][found.seen[:, 10:40]]) == 1


def test_nothing_seen_is_a_view_without_pixels() -> None:
    found = SpatialMemory().recall(pose(), LENS, (30, 40))
    assert found.share_seen == 0 and found.stamps_ns == () and found.rgb.shape == (30, 40, 3)


def test_far_from_zero_nothing_becomes_coarse() -> None:
    far = np.array([1e6, -2e6, 0.0])
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    there = pose()
    there[:3, 3] += far
    rgb, depth = room.look(pose())
    memory.add(rgb, depth, LENS, there, 0)
    found = memory.recall(there, LENS, (HEIGHT, WIDTH))
    assert found.share_seen > 0.98
    assert np.abs(found.depth_m - depth)[found.seen].max() < 0.01


# -- from above, and as a map


def test_from_above_things_stand_where_they_are() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    turned_once(room, memory)
    for k, place in enumerate([(3.2, 0.0, math.pi), (1.8, 2.5, -math.pi / 2)]):
        room.shown_to(memory, pose(*place, z=1.6), (10 + k) * SECOND)
    view = MapView.around(0.0, 0.0, 6.4, 64)
    found = memory.recall_top_down(view, 1.5)
    v, u = np.nonzero(red(found))
    xy = view.to_world(np.column_stack([u + 0.5, v + 0.5]))
    assert len(xy) > 10
    assert (np.abs(xy - (1.8, 0.0)) < (0.45, 0.55)).all()
    assert not red(memory.recall_top_down(view, 0.0)).any()  # all of it is higher


STOOL = ((0.75, -0.25, 0.0), (1.25, 0.25, 0.4), (220, 30, 30))


def test_from_above_a_near_thing_is_not_lost_for_the_air_that_no_camera_looked_up_to() -> None:
    """It stands 0.75 m away: where its front edge is, a camera at 1 m sees no higher than 1.6."""
    memory, room = SpatialMemory(), Room(HALL, STOOL)
    turned_once(room, memory)
    view = MapView.around(0.0, 0.0, 6.4, 64)
    found = memory.recall_top_down(view, 2.4)
    v, u = np.nonzero(red(found))
    xy = view.to_world(np.column_stack([u + 0.5, v + 0.5]))
    assert len(xy) > 10 and (np.abs(xy - (1.0, 0.0)) < 0.35).all()


def test_from_above_what_stands_under_air_that_a_thing_hid_is_not_called_seen() -> None:
    """The chair hides the air over the floor behind it, and what might stand there."""
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    room.shown_to(memory, pose(z=1.0), 0)
    view = MapView.around(0.0, 0.0, 6.4, 64)
    found = memory.recall_top_down(view, 2.4)
    behind = view.to_pixel(np.array([(2.5, 0.0)]))[0].astype(int)
    assert not found.seen[behind[1] - 1 : behind[1] + 2, behind[0] - 2 : behind[0] + 3].any()


def test_from_above_floor_fills_what_a_thing_hides_and_the_thing_goes_on_a_little() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    turned_once(room, memory)
    view = MapView.around(0.0, 0.0, 6.4, 64)
    found = memory.recall_top_down(view, 2.4)
    seen, filled = red(found), (found.filled[..., 0] > 150) & (found.filled[..., 1] < 90)
    assert seen.any() and filled[seen].all() and filled.sum() > seen.sum()
    v, u = np.nonzero(filled)
    xy = view.to_world(np.column_stack([u + 0.5, v + 0.5]))
    assert (np.abs(xy - (1.8, 0.0)) < (0.6, 0.75)).all()  # its colour runs into nothing else
    assert (found.filled[found.seen] == found.rgb[found.seen]).all()
    assert (found.filled == np.array(HOLE_RGB)).all(-1).sum() == 0


def test_from_above_nothing_is_made_up_where_nothing_was_seen() -> None:
    nothing = SpatialMemory().recall_top_down(MapView.around(0.0, 0.0, 6.4, 64), 2.4)
    assert nothing.filling is None and (nothing.filled == 127).all()


def test_occupancy_is_free_occupied_or_never_seen() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 0)
    shape = OccupancyGrid(np.full((160, 160), UNKNOWN, np.int8), 0.05, (-4.0, -4.0))
    found = memory.occupancy(shape)
    at = found.values(np.array([(1.52, 0.0), (2.0, 1.5), (2.9, 0.0), (-2.0, 0.0)]))
    assert at.tolist() == [OCCUPIED, FREE, UNKNOWN, UNKNOWN]  # front, floor, behind, at my back


def test_occupancy_of_a_turned_grid_is_the_same_room() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 0)
    turn = 0.7
    shape = OccupancyGrid(np.full((160, 160), UNKNOWN, np.int8), 0.05, (-4.0, -4.0), turn)
    found = memory.occupancy(shape)
    c, s = math.cos(turn), math.sin(turn)
    along = np.array([(1.502, 0.0), (2.0, 1.0), (2.9, 0.0)]) @ np.array([[c, -s], [s, c]])
    assert found.values(along).tolist() == [OCCUPIED, FREE, UNKNOWN]


# -- newer wins


def test_a_chair_that_was_moved_leaves_no_ghost() -> None:
    memory = SpatialMemory()
    moved = ((1.5, 1.6, 0.0), (2.1, 2.4, 1.2), (220, 30, 30))
    Room(HALL, CHAIR).shown_to(memory, pose(), 0)
    assert red(memory.recall(pose(), LENS, (HEIGHT, WIDTH))).sum() > 500
    after = Room(HALL, moved)
    after.shown_to(memory, pose(-0.4, 0.3, -0.1), 60 * SECOND)
    found = memory.recall(pose(), LENS, (HEIGHT, WIDTH))
    truth, _ = after.look(pose())
    is_red = (truth[..., 0] > 150) & (truth[..., 1] < 90)
    ghost = red(found) & ~is_red
    assert ghost.sum() <= 0.02 * is_red.sum()


def test_a_person_who_walked_on_is_gone() -> None:
    memory = SpatialMemory()
    for k, y in enumerate([-1.5, -0.5, 0.5, 1.5]):
        person = ((2.0, y - 0.25, 0.0), (2.4, y + 0.25, 1.8), (220, 30, 30))
        Room(HALL, person).shown_to(memory, pose(), 3 * k * SECOND)
    found = memory.recall(pose(), LENS, (HEIGHT, WIDTH))
    u = np.nonzero(red(found))[1]
    assert len(u) and u.max() < 40  # only where he stands now, on the left


def test_late_news_of_an_older_view_does_not_undo_a_newer_one() -> None:
    memory = SpatialMemory()
    Room(HALL).shown_to(memory, pose(), 60 * SECOND, "front")
    Room(HALL, CHAIR).shown_to(memory, pose(-0.3), 0, "rear")
    assert not red(memory.recall(pose(), LENS, (HEIGHT, WIDTH))).any()


# -- what is kept


def test_a_standing_camera_keeps_one_view_until_that_is_too_old() -> None:
    memory, room = SpatialMemory(MemoryLimits(age_s=120.0)), Room(HALL, CHAIR)
    rgb, depth = room.look(pose())
    for k in range(0, 600, 10):
        memory.add(rgb, depth, LENS, pose(), k * SECOND)
        assert len(memory) == 1
    assert memory.views[0].stamp_ns >= 480 * SECOND


def test_sixty_views_a_second_cost_nothing_and_change_nothing() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    rgb, depth = room.look(pose())
    kept = [
        memory.add(rgb, depth, LENS, pose(yaw=0.002 * math.sin(k)), k * SECOND // 60)
        for k in range(600)
    ]
    assert sum(kept) <= 6 and len(memory) == 1


def test_number_and_bytes_are_bounded_and_the_least_useful_goes() -> None:
    memory, room = SpatialMemory(MemoryLimits(number=5)), Room(HALL, CHAIR)
    room.shown_to(memory, pose(yaw=math.pi), 0)  # nobody else looks that way
    for k in range(12):
        room.shown_to(memory, pose(0.0, 0.3 * k - 1.5, 0.0), (k + 1) * SECOND)
    assert len(memory) == 5
    assert memory.views[0].stamp_ns == 0  # oldest of all, and still the only one of its kind
    small = SpatialMemory(MemoryLimits(n_bytes=3 * memory.views[0].n_bytes))
    turned_once(room, small)
    assert len(small) == 3 and small.n_bytes <= 3 * memory.views[0].n_bytes


def test_a_memory_full_of_one_wall_still_takes_the_door() -> None:
    memory = SpatialMemory(MemoryLimits(number=4))
    for k in range(40):
        Room(HALL).shown_to(memory, pose(2.0, 0.05 * k, 0.0), k * SECOND)
    Room(HALL).shown_to(memory, pose(2.0, 0.0, math.pi), 100 * SECOND)
    assert len(memory) <= 4
    assert memory.recall(pose(2.0, 0.0, math.pi), LENS, (HEIGHT, WIDTH)).share_seen > 0.9
    assert memory.recall(pose(2.0, 1.0, 0.0), LENS, (HEIGHT, WIDTH)).share_seen > 0.9


def test_what_is_too_old_is_forgotten() -> None:
    memory, room = SpatialMemory(MemoryLimits(age_s=30.0)), Room(HALL)
    room.shown_to(memory, pose(), 0)
    room.shown_to(memory, pose(yaw=math.pi), 31 * SECOND)
    assert [view.stamp_ns for view in memory.views] == [31 * SECOND]


def test_a_camera_without_depth_is_remembered_by_place_and_direction() -> None:
    memory = SpatialMemory()
    rgb, _ = Room(HALL).look(pose())
    places = [pose(), pose(0.3), pose(0.7), pose(yaw=0.3), pose(yaw=0.6)]
    kept = [memory.add(rgb, None, LENS, at, k * SECOND) for k, at in enumerate(places)]
    assert kept == [True, False, True, False, True]
    assert memory.recall(pose(), LENS, (30, 40)).share_seen == 0


# -- bad input


def test_a_robot_that_was_carried_away_remembers_nothing_of_before() -> None:
    memory, room = SpatialMemory(MemoryLimits(fastest_m_s=3.0)), Room(HALL, CHAIR)
    turned_once(room, memory)
    room.shown_to(memory, pose(3.0, 3.0, 1.0), 4 * SECOND)  # 4.2 m within a second
    assert [view.stamp_ns for view in memory.views] == [4 * SECOND]
    assert memory.counts["jumps"] == 1


def test_a_view_of_before_a_jump_that_comes_after_it_is_not_remembered() -> None:
    """It was being decoded, or another camera's link is slow."""
    memory, room = SpatialMemory(MemoryLimits(fastest_m_s=3.0)), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 0, "front")
    room.shown_to(memory, pose(), 0, "rear")
    assert memory.wants(pose(3.0, 3.0), SECOND, "front") and memory.counts["jumps"] == 1
    for name in ("front", "rear"):
        assert not memory.wants(pose(0.2), SECOND - 1, name)
        assert not room.shown_to(memory, pose(0.2), SECOND - 1, name)
    assert room.shown_to(memory, pose(3.0, 3.0), SECOND, "front") and len(memory) == 1
    room.shown_to(memory, pose(3.0, 3.0, 1.0), SECOND + 1, "rear")
    assert len(memory) == 2 and memory.counts["jumps"] == 1
    memory.clear()
    assert room.shown_to(memory, pose(), 0, "rear"), "time began anew"


def test_a_jump_that_is_noticed_while_a_view_is_taken_in_keeps_it_out(monkeypatch) -> None:
    memory, room = SpatialMemory(MemoryLimits(fastest_m_s=3.0)), Room(HALL, CHAIR)
    room.shown_to(memory, pose(), 0)
    clean = spatial_memory.clean

    def meanwhile(*arguments):
        memory.wants(pose(3.0, 3.0), SECOND)
        return clean(*arguments)

    monkeypatch.setattr(spatial_memory, "clean", meanwhile)
    assert not room.shown_to(memory, pose(0.2), SECOND // 2)
    assert memory.counts["jumps"] == 1 and not len(memory)


def test_a_jump_is_noticed_after_standing_for_long() -> None:
    memory, room = SpatialMemory(MemoryLimits(fastest_m_s=3.0)), Room(HALL, CHAIR)
    for k in range(60):
        room.shown_to(memory, pose(), k * SECOND)  # the same view: only the first is kept
    room.shown_to(memory, pose(3.0, 2.5, 1.0), 60 * SECOND)
    assert [view.stamp_ns for view in memory.views] == [60 * SECOND]
    assert memory.counts["jumps"] == 1


def test_a_pose_that_jumped_on_the_spot_drops_what_it_contradicts() -> None:
    memory = SpatialMemory(MemoryLimits(fastest_m_s=3.0))
    Room(((-4.0, -4.0, 0.0), (1.2, 4.0, 2.5), (220, 30, 30))).shown_to(memory, pose(), 0)
    Room(HALL).shown_to(memory, pose(0.1), 5 * SECOND)  # where a wall was near, all is open
    assert memory.counts["contradicted"] == 1
    assert not red(memory.recall(pose(-0.5), LENS, (HEIGHT, WIDTH))).any()


@pytest.mark.parametrize("late", [False, True])
def test_what_a_newer_view_contradicts_is_dropped_whichever_came_first(late: bool) -> None:
    """A camera over a slow link may deliver a view after a newer one of another camera."""
    memory = SpatialMemory()
    wall = Room(((-4.0, -4.0, 0.0), (1.2, 4.0, 2.5), (220, 30, 30)))
    looks = [(wall, pose(), 0, "rear"), (Room(HALL), pose(0.1), 5 * SECOND, "front")]
    for room, at, stamp, name in reversed(looks) if late else looks:
        rgb, depth = room.look(at)
        kept = memory.add(rgb, depth, LENS, at, stamp, name)
        assert kept or (late and name == "rear")
    assert memory.counts["contradicted"] == 1
    assert [view.name for view in memory.views] == ["front"]
    assert not red(memory.recall(pose(-0.5), LENS, (HEIGHT, WIDTH))).any()


def test_two_cameras_with_wrong_extrinsics_are_counted() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    for k in range(6):
        rgb, depth = room.look(pose(0.0, 0.0, 0.05 * k))
        memory.add(rgb, depth, LENS, pose(0.0, 0.0, 0.05 * k), 2 * k * SECOND, "front")
        wrong = pose(-1.5, 0.0, 0.05 * k)  # says that it stands elsewhere than it does
        memory.add(rgb, depth, LENS, wrong, (2 * k + 1) * SECOND, "rear")
    assert memory.counts["contradicted"] >= 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"depth_m": 1000.0}, "metres"),
        ({"depth_m": 0.001}, "metres"),
        ({"pose": np.full((4, 4), np.nan)}, "finite"),
        ({"pose": np.diag([1.0, 1.0, -1.0, 1.0])}, "rotation"),
        ({"pose": 2 * np.eye(4)}, "rotation"),
        ({"lens": Lens(0.0, 80.0, 1.0, 1.0)}, "focal"),
        ({"lens": Lens(math.nan, 80.0, 1.0, 1.0)}, "focal"),
        ({"size": (10, 10)}, "size of rgb"),
    ],
)
def test_what_is_no_view_is_refused_by_name(change, word) -> None:
    rgb, depth = Room(HALL, CHAIR).look(pose())
    depth = depth * change.get("depth_m", 1.0)
    depth = np.resize(depth, change.get("size", depth.shape))
    memory = SpatialMemory()
    with pytest.raises(ViewRefused, match=word):
        memory.add(rgb, depth, change.get("lens", LENS), change.get("pose", pose()), 0)
    assert len(memory) == 0


def test_pixels_that_hang_between_near_and_far_are_not_remembered() -> None:
    memory = SpatialMemory()
    rgb, depth = Room(HALL, CHAIR).look(pose())
    edge = np.abs(np.diff(depth, axis=1, prepend=depth[:, :1])) > 0.5
    flying = np.where(edge, 0.5 * (depth + np.roll(depth, 1, axis=1)), depth)
    memory.add(rgb, flying.astype(np.float32), LENS, pose(), 0)
    kept = memory.views[0].depth_m
    assert (kept[edge] == 0).mean() > 0.9


def test_it_may_be_filled_and_asked_from_several_threads() -> None:
    memory, room = SpatialMemory(MemoryLimits(number=6)), Room(HALL, CHAIR)
    shots = [(pose(yaw=0.5 * k), *room.look(pose(yaw=0.5 * k))) for k in range(13)]
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for k in range(30):
                at, rgb, depth = shots[(start + k) % len(shots)]
                memory.add(rgb, depth, LENS, at, k * 3 * SECOND, f"camera {start}")
                memory.recall(at, LENS, (30, 40))
        except BaseException as error:  # shown below: a thread must not fail in silence
            failures.append(error)

    threads = [threading.Thread(target=work, args=(3 * k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(memory) <= 6


def test_forgetting_leaves_nothing() -> None:
    memory, room = SpatialMemory(), Room(HALL, CHAIR)
    turned_once(room, memory)
    memory.clear()
    assert len(memory) == 0 and memory.n_bytes == 0
    assert memory.recall(pose(), LENS, (HEIGHT, WIDTH)).share_seen == 0

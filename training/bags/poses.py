"""Where a frame was at a stamp, of a whole recording: tf's tree, or odometry and a mount.

All poses are known before the first picture is read, so every lookup lies between two samples.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from ipt_model.messages.faults import MessageFault
from ipt_model.messages.poses import from_xyz_rpy, interpolate, inverse, matrix_of
from ipt_model.messages.stamps import stamp_to_ns
from ipt_model.spatial.geometry import BODY_FROM_OPTICAL

#: Samples farther apart say nothing of the time between, s; a body between them is no faster than
#: this, m/s and m more.
BRIDGE_S, FASTEST_M_S, SLACK_M = 1.0, 5.0, 0.3


class NoPose(ValueError):
    """There is no pose for this stamp. kind: the reason, as it is counted."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Track:
    """Poses of one frame in another over time; samples may come in any order."""

    def __init__(self) -> None:
        self._samples: dict[int, np.ndarray] = {}
        self._stamps: list[int] | None = None

    def put(self, stamp_ns: int, pose: np.ndarray) -> None:
        self._samples[stamp_ns] = pose
        self._stamps = None

    def __len__(self) -> int:
        return len(self._samples)

    def at(self, stamp_ns: int) -> np.ndarray:
        """Between the samples around it. Raises NoPose."""
        if self._stamps is None:
            self._stamps = sorted(self._samples)
        k = bisect_left(self._stamps, stamp_ns)
        if k < len(self._stamps) and self._stamps[k] == stamp_ns:
            return self._samples[stamp_ns]
        if not 0 < k < len(self._stamps):
            raise NoPose("no pose", "the stamp lies outside the poses of the bag")
        before, after = self._stamps[k - 1], self._stamps[k]
        gap_s = (after - before) * 1e-9
        if gap_s > BRIDGE_S:
            raise NoPose("no pose", f"the poses around it are {gap_s:.1f} s apart")
        a, b = self._samples[before], self._samples[after]
        if np.linalg.norm(b[:3, 3] - a[:3, 3]) > SLACK_M + FASTEST_M_S * gap_s:
            raise NoPose("pose jump", "the pose jumps between the samples around it")
        return interpolate(a, b, (stamp_ns - before) / (after - before))


class PoseTree:
    """The frames of a bag: tracks of what moves, and what is fixed to what."""

    def __init__(self) -> None:
        self.moving: dict[str, tuple[str, Track]] = {}
        self.fixed: dict[str, tuple[str, np.ndarray]] = {}
        #: How many transforms could not be read.
        self.broken = 0

    def take_tf(self, message: Any, static: bool) -> None:
        """A TFMessage."""
        for one in message.transforms:
            child, parent = _name(one.child_frame_id), _name(one.header.frame_id)
            try:
                pose = matrix_of(
                    one.transform.translation, one.transform.rotation, "no pose", child
                )
            except MessageFault:
                self.broken += 1
                continue
            if static:
                self.fixed[child] = (parent, pose)
                continue
            if self.moving.get(child, (parent,))[0] != parent:
                self.broken += 1  # two parents: whoever came first stays
                continue
            track = self.moving.setdefault(child, (parent, Track()))[1]
            track.put(stamp_to_ns(one.header.stamp), pose)

    def take_odometry(self, message: Any, base: str) -> None:
        """An Odometry; its own child frame's name is not relied on."""
        try:
            pose = matrix_of(
                message.pose.pose.position, message.pose.pose.orientation, "no pose", base
            )
        except MessageFault:
            self.broken += 1
            return
        parent = _name(message.header.frame_id)
        track = self.moving.setdefault(base, (parent, Track()))[1]
        track.put(stamp_to_ns(message.header.stamp), pose)

    def mount(self, camera: str, base: str, xyz_rpy: tuple[float, ...]) -> None:
        """Put an optical frame on the base, by its body frame."""
        x, y, z, roll, pitch, yaw = xyz_rpy
        body = from_xyz_rpy(x, y, z, roll, pitch, yaw)
        self.fixed[_name(camera)] = (base, body @ BODY_FROM_OPTICAL)

    def at(self, frame: str, fixed_frame: str, stamp_ns: int) -> np.ndarray:
        """4 x 4, points of `frame` to `fixed_frame`. Raises NoPose."""
        up, to_root = self._to_root(_name(frame), stamp_ns)
        if _name(fixed_frame) in up:
            return up[_name(fixed_frame)]
        _, from_root = self._to_root(_name(fixed_frame), stamp_ns)
        if to_root[0] != from_root[0]:
            raise NoPose(
                "no pose",
                f"{frame} hangs on {to_root[0]} and {fixed_frame} on {from_root[0]}: no way "
                "from one to the other",
            )
        return np.asarray(inverse(from_root[1]) @ to_root[1])

    def _to_root(
        self, frame: str, stamp_ns: int
    ) -> tuple[dict[str, np.ndarray], tuple[str, np.ndarray]]:
        """Every frame above, with the pose in it; and the topmost."""
        pose = np.eye(4)
        found = {frame: pose}
        while True:
            if frame in self.moving:
                parent, track = self.moving[frame]
                step = track.at(stamp_ns)
            elif frame in self.fixed:
                parent, step = self.fixed[frame]
            else:
                return found, (frame, pose)
            if parent in found:
                raise NoPose("no pose", f"the frames go round in a circle at {parent}")
            pose = step @ pose
            frame = parent
            found[frame] = pose


def _name(frame: str) -> str:
    return frame.lstrip("/")

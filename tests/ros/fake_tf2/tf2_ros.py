"""Stands in for tf2_ros where it is not installed (it is not on PyPI), with what matters of tf2:
a cache of ten seconds behind the newest stamp, older transforms are dropped, nothing is
extrapolated, static transforms hold always.

Transforms come as nav_msgs/Odometry (parent in the header, child_frame_id): tf2_msgs is not on
PyPI either. /odom and /moving are dynamic, /fixed is static and latched.
"""

from bisect import bisect_left
from types import SimpleNamespace

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ipt_model.messages.poses import interpolate, inverse
from ipt_ros.conversions import matrix_to_transform, stamp_to_ns, transform_to_matrix

CACHE_NS = 10_000_000_000


class TransformException(Exception):
    pass


class Buffer:
    def __init__(self, cache_time=None, node=None):
        self._edges = {}  # child: (parent, sorted stamps or None when static, matrices)

    def clear(self):
        self._edges = {k: e for k, e in self._edges.items() if e[1] is None}

    def set_transform(self, transform, authority):
        child, stamp = transform.child_frame_id, stamp_to_ns(transform.header.stamp)
        _, stamps, matrices = self._edges.setdefault(child, (transform.header.frame_id, [], []))
        if stamps and stamp < stamps[-1] - CACHE_NS:
            return  # TF_OLD_DATA
        at = bisect_left(stamps, stamp)
        stamps.insert(at, stamp)
        matrices.insert(at, transform_to_matrix(transform.transform))
        while stamps[0] < stamps[-1] - CACHE_NS:
            del stamps[0], matrices[0]

    def set_transform_static(self, transform, authority):
        matrix = transform_to_matrix(transform.transform)
        self._edges[transform.child_frame_id] = (transform.header.frame_id, None, [matrix])

    def _to_root(self, frame, stamp):
        matrix = np.eye(4)
        while frame in self._edges:
            parent, stamps, matrices = self._edges[frame]
            matrix = self._at(frame, stamps, matrices, stamp) @ matrix
            frame = parent
        return frame, matrix

    @staticmethod
    def _at(frame, stamps, matrices, stamp):
        if stamps is None:
            return matrices[0]
        if stamp == 0:  # the latest
            return matrices[-1]
        after = bisect_left(stamps, stamp)
        if after < len(stamps) and stamps[after] == stamp:
            return matrices[after]
        if not 0 < after < len(stamps):
            raise TransformException(f"{frame}: {stamp} needs extrapolation")
        before = after - 1
        share = (stamp - stamps[before]) / (stamps[after] - stamps[before])
        return interpolate(matrices[before], matrices[after], share)

    def lookup_transform(self, target, source, time, timeout=None):
        root, from_target = self._to_root(target, time.nanoseconds)
        other, from_source = self._to_root(source, time.nanoseconds)
        if root != other:
            raise TransformException(f"{target} and {source} are not connected")
        matrix = inverse(from_target) @ from_source
        return SimpleNamespace(transform=matrix_to_transform(matrix))


class TransformListener:
    def __init__(self, buffer, node):
        self.buffer = buffer
        best = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(Odometry, "/odom", self.callback, best),
            node.create_subscription(Odometry, "/moving", self.callback, best),
            node.create_subscription(Odometry, "/fixed", self.static_callback, latched),
        ]

    def callback(self, message):
        self.buffer.set_transform(transform_of(message), "default_authority")

    def static_callback(self, message):
        self.buffer.set_transform_static(transform_of(message), "default_authority")


def transform_of(message):
    moved = TransformStamped(header=message.header, child_frame_id=message.child_frame_id)
    at, pose = moved.transform.translation, message.pose.pose
    at.x, at.y, at.z = pose.position.x, pose.position.y, pose.position.z
    moved.transform.rotation = pose.orientation
    return moved

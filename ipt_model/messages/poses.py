"""Poses as 4 x 4 matrices, which take points of the child frame to the parent. Metres, radians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .faults import MessageFault


def matrix_of(position: Any, rotation: Any, kind: str, what: str) -> np.ndarray:
    """4 x 4 of a position and a quaternion. kind, what: of the fault, and what it is about."""
    xyz = (position.x, position.y, position.z)
    q = (rotation.x, rotation.y, rotation.z, rotation.w)
    if not all(math.isfinite(v) for v in (*xyz, *q)):
        raise MessageFault(kind, f"{what}: holds NaN or infinity: position {xyz}, quaternion {q}")
    norm = math.hypot(*q)
    if not 1e-3 < norm < 1e3:
        raise MessageFault(kind, f"{what}: the quaternion {q} has length {norm:g}; expected 1")
    x, y, z, w = (v / norm for v in q)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = xyz
    return matrix


def from_xyz_rpy(
    x: float, y: float, z: float, roll: float, pitch: float, yaw: float
) -> np.ndarray:
    """Fixed-axis roll, pitch, yaw, as in URDF."""
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    pose = np.eye(4)
    pose[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    pose[:3, 3] = (x, y, z)
    return pose


def yaw_of(pose: np.ndarray) -> float:
    """Heading of the x axis in the parent's plane, radians."""
    return math.atan2(pose[1, 0], pose[0, 0])


def inverse(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid motion, without a general solve."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def interpolate(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The motion `share` (0..1) of the way from a to b: linear in place, constant turn rate."""
    relative = a[:3, :3].T @ b[:3, :3]
    angle = math.acos(min(1.0, max(-1.0, 0.5 * (np.trace(relative) - 1.0))))
    result = np.eye(4)
    result[:3, 3] = (1.0 - share) * a[:3, 3] + share * b[:3, 3]
    if angle < 1e-9:
        result[:3, :3] = a[:3, :3]
        return result
    if (
        math.pi - angle < 1e-6
    ):  # half a turn between two samples: no axis to follow, take the nearer one
        result[:3, :3] = (a if share < 0.5 else b)[:3, :3]
        return result
    skew = (relative - relative.T) / (2.0 * math.sin(angle))
    turn = share * angle
    result[:3, :3] = a[:3, :3] @ (
        np.eye(3) + math.sin(turn) * skew + (1.0 - math.cos(turn)) * skew @ skew
    )
    return result

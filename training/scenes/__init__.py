"""Worlds from seeds, their pictures, their maps and their truth. Importing this loads neither
open3d nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipt_training.scenes.camera import Camera, View, camera_pose
    from ipt_training.scenes.checks import check_scene
    from ipt_training.scenes.embree import Renderer, TopDown
    from ipt_training.scenes.generator import make_scene
    from ipt_training.scenes.grids import observed, occupancy
    from ipt_training.scenes.mark import FloorMark
    from ipt_training.scenes.scene import Scene, SceneError, SceneObject
    from ipt_training.scenes.splits import seeds_of, split_of

_HOME = {
    "Camera": "camera",
    "FloorMark": "mark",
    "Renderer": "embree",
    "Scene": "scene",
    "SceneError": "scene",
    "SceneObject": "scene",
    "TopDown": "embree",
    "View": "camera",
    "camera_pose": "camera",
    "check_scene": "checks",
    "make_scene": "generator",
    "observed": "grids",
    "occupancy": "grids",
    "seeds_of": "splits",
    "split_of": "splits",
}

__all__ = [
    "Camera",
    "FloorMark",
    "Renderer",
    "Scene",
    "SceneError",
    "SceneObject",
    "TopDown",
    "View",
    "camera_pose",
    "check_scene",
    "make_scene",
    "observed",
    "occupancy",
    "seeds_of",
    "split_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

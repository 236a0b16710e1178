"""MuJoCo's renderer on our scenes, as `dataset_speed` compares it: the same solids, lights, floor
and cameras.

In: scenes and poses. Out: seconds, and how far both renderers see the same. Needs `pip install
mujoco` and, without a display, MUJOCO_GL=egl or osmesa.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

import numpy as np

from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera
from ipt_training.scenes.scene import SHAPES, Scene
from ipt_training.scenes.solids import solids_of

# Mesa's software renderer on one thread, as ours is measured
os.environ.setdefault("LP_NUM_THREADS", "0")

PRODUCTS = ("rgb", "depth", "segmentation")


def model_of(
    scene: Scene, poses: list[np.ndarray], size: int, fov: float, plain: bool = False
) -> Any:
    """The scene as a MuJoCo model with a camera at each pose. Cones are meshes there.

    plain: without shadows and smooth edges, which ours has; its fastest way of drawing.
    """
    import mujoco

    solids = solids_of(scene)
    turn = np.arange(24) * 2 * math.pi / 24
    ring = [f"{0.5 * math.cos(a):.4f} {0.5 * math.sin(a):.4f} -0.5" for a in turn]
    cone = " ".join([*ring, "0 0 0.5"])
    meshes, geoms = [], []
    for i in range(len(solids)):
        shape = SHAPES[int(solids.shape[i])]
        sx, sy, sz = (float(v) for v in solids.size[i])
        r, g, b = (float(v) for v in solids.colour[i])
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, solids.rotation[i].reshape(9))
        place = (
            f'pos="{" ".join(f"{v:.5f}" for v in solids.position[i])}" '
            f'quat="{" ".join(f"{v:.6f}" for v in quat)}" rgba="{r:.3f} {g:.3f} {b:.3f} 1" '
            'contype="0" conaffinity="0"'
        )
        if shape == "cone":
            meshes.append(f'<mesh name="m{i}" vertex="{cone}" scale="{sx} {sy} {sz}"/>')
            geoms.append(f'<geom type="mesh" mesh="m{i}" {place}/>')
        else:
            half = {
                "box": f"{sx / 2} {sy / 2} {sz / 2}",
                "cylinder": f"{sx / 2} {sz / 2}",
                "sphere": f"{sx / 2}",
            }[shape]
            geoms.append(f'<geom type="{shape}" size="{half}" {place}/>')
    cameras = []
    for k, pose in enumerate(poses):
        # MuJoCo's camera looks along -z with y up
        right, up = pose[:3, 0], -pose[:3, 1]
        axes = " ".join(f"{v:.6f}" for v in (*right, *up))
        at = " ".join(f"{v:.5f}" for v in pose[:3, 3])
        cameras.append(
            f'<camera name="c{k}" pos="{at}" xyaxes="{axes}" fovy="{math.degrees(fov)}"/>'
        )
    shadow, samples = ("false", 0) if plain else ("true", 4)
    lights = "".join(
        f'<light directional="true" castshadow="{shadow}" diffuse="{s} {s} {s}" '
        f'dir="{-d[0]} {-d[1]} {-d[2]}"/>'
        for d, s in ((lamp.direction, lamp.intensity) for lamp in scene.lights)
    )
    xml = f"""<mujoco><visual><global offwidth="{size}" offheight="{size}"/>
      <map znear="0.01" zfar="50"/><quality shadowsize="1024" offsamples="{samples}"/></visual>
      <asset>{"".join(meshes)}</asset>
      <worldbody>{lights}<geom type="plane" size="20 20 0.1" rgba="0.6 0.6 0.6 1"/>
      {"".join(geoms)}{"".join(cameras)}</worldbody></mujoco>"""
    return mujoco.MjModel.from_xml_string(xml)


def draw(
    scene: Scene, poses: list[np.ndarray], size: int, fov: float, plain: bool = False
) -> float:
    """Draw RGB, depth and ids of all poses; seconds without building model and context."""
    import mujoco

    model = model_of(scene, poses, size, fov, plain)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, size, size) as renderer:
        begin = time.perf_counter()
        for k in range(len(poses)):
            for product in PRODUCTS:
                _switch(renderer, product)
                renderer.update_scene(data, camera=f"c{k}")
                renderer.render()
        return time.perf_counter() - begin


def _switch(renderer: Any, product: str) -> None:
    renderer.disable_depth_rendering()
    renderer.disable_segmentation_rendering()
    if product == "depth":
        renderer.enable_depth_rendering()
    elif product == "segmentation":
        renderer.enable_segmentation_rendering()


def same_ids(scenes: list[Scene], poses: list[list[np.ndarray]], size: int, fov: float) -> float:
    """Share of pixels on which both renderers see an object, over pixels where either does."""
    import mujoco

    camera = Camera.from_fov(size, size, fov)
    agree = []
    for scene, here in zip(scenes, poses, strict=True):
        model = model_of(scene, here, size, fov)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        ids = solids_of(scene).instance
        ours = Renderer(scene)
        with mujoco.Renderer(model, size, size) as renderer:
            _switch(renderer, "segmentation")
            for k, pose in enumerate(here):
                renderer.update_scene(data, camera=f"c{k}")
                geom = renderer.render()[..., 0]
                theirs = np.where(geom >= 1, ids[np.clip(geom - 1, 0, len(ids) - 1)], -9)
                mine = ours.render(pose, camera).instance
                either = (mine >= 0) | (theirs >= 0)
                if either.any():
                    agree.append(float((mine == theirs)[either].mean()))
    return round(float(np.mean(agree)), 4)

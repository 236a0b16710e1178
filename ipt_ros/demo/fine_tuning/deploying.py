"""Puts weights where they belong, into the node of a robot in a house that it did not learn from,
and asks through the node; then the robot goes and sees for itself.

In: a house, and weights by name. Out: what each said, and pictures as files beside the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imaginative_perception.action import ImagineView
from ipt_ros.client import Asker
from ipt_ros.conversions import matrix_to_pose
from ipt_ros.demo.fine_tuning.house import HousePlan
from ipt_ros.demo.robot import NodeProcess, Robot
from ipt_ros.demo.scenario import camera_body
from ipt_ros.demo.story import CameraMount, Referee, ViewpointQuestion
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_ros.senses.images import image_to_rgb
from ipt_training.scenes.camera import Camera

#: Questions that both are asked.
QUESTIONS = 3


def ask_each(
    plan: HousePlan,
    weights: Mapping[str, str],
    setup: Mapping[str, Any],
    pictures: Path,
    logs: Path,
) -> list[dict[str, Any]]:
    """The same questions to each of the weights. setup: of `recording.robot_setup`. pictures:
    folder for PNG files, whose names the records hold."""
    sim = defaults(SIM_PARAMETERS)
    camera = setup["camera"]
    referee = Referee(
        plan.seed,
        plan.level,
        CameraMount(
            camera["camera_x"],
            camera["camera_z"],
            camera["camera_pitch"],
            Camera.from_fov(sim.width, sim.height, sim.horizontal_fov),
        ),
        look=plan.look,
    )
    questions = [referee.viewpoint_question() for _ in range(QUESTIONS)]
    records: list[dict[str, Any]] = [
        {"object": q.object_name, "truth": q.answer, "answers": {}, "pictures": {}}
        for q in questions
    ]
    pictures.mkdir(parents=True, exist_ok=True)
    simulator = NodeProcess(
        "sim_node",
        {"seed": plan.seed, "level": plan.level, "look": plan.look, **camera},
        logs / "sim_node_deployed.log",
    )
    try:
        for name, model in weights.items():
            _ask(name, model, questions, records, setup["mounts"], simulator, pictures, logs)
    finally:
        simulator.stop()
    return records


def _ask(
    name: str,
    model: str,
    questions: list[ViewpointQuestion],
    records: list[dict[str, Any]],
    mounts: list[float],
    simulator: NodeProcess,
    pictures: Path,
    logs: Path,
) -> None:
    asker = Asker(name=f"asker_{name}")
    nodes = [simulator]

    def alive() -> bool:
        for one in nodes:
            one.check()
        return True

    try:
        robot = Robot(asker)
        robot.wait_until(lambda: alive() and robot.senses_ready(), "camera and map", 60.0)
        # each node begins to remember in the same place, or one would know more than the other
        robot.put(questions[0].start)
        nodes.append(
            NodeProcess(
                "ipt_node",
                {
                    "model": model,
                    "pose_source": "odometry",
                    "mounts": mounts,
                    # it is put elsewhere between questions, by a simulator that always knows where
                    "memory_fastest_m_s": 1000.0,
                },
                logs / f"ipt_node_{name}.log",
            )
        )
        robot.wait_for_model(alive)
        for number, (question, record) in enumerate(zip(questions, records, strict=True)):
            robot.put(question.start)

            def keep(what: str, picture: np.ndarray, number: int = number) -> None:
                file = f"view_{number}_{what}.png"
                cv2.imwrite(str(pictures / file), picture[:, :, ::-1])
                records[number]["pictures"][what] = file

            keep("seen", robot.newest_picture())
            goal = ImagineView.Goal(mode="imagine", seed=1, object=question.object_name)
            goal.viewpoint.header.frame_id = "odom"
            # the camera, not the base, is what stands at the viewpoint
            goal.viewpoint.pose = matrix_to_pose(camera_body(question.viewpoint, mounts))
            result = asker.ask(ImagineView, goal)
            record["answers"][name] = _answer(result)
            if result.imagined_view.image.height:
                keep(name, image_to_rgb(result.imagined_view.image))
            robot.put(question.viewpoint)
            keep("truth", robot.newest_picture())
    finally:
        asker.close()
        for one in nodes[1:]:
            one.stop()


def _answer(result: Any) -> dict[str, Any]:
    answer = result.answer
    return {
        "question": answer.question,
        "said": answer.answer or f"abstained: {answer.abstain_reason}",
        "abstained": bool(answer.abstained),
        "confidence": float(answer.confidence) if np.isfinite(answer.confidence) else None,
        "error_code": int(result.error_code),
        "error_msg": result.error_msg,
        "mode": answer.provenance.mode,
        "model_id": answer.provenance.model_id,
        "model_hash": answer.provenance.model_hash,
        "seen_share": float(result.imagined_view.seen_share),
        "total_s": float(answer.times.total_s),
    }

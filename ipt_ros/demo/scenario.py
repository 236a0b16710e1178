"""The demo's course: stand somewhere, ask one question of each action, go and see the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped

from imaginative_perception.action import AskSpatial, CountObjects, ImagineView, TracePath
from ipt_model.spatial import maps
from ipt_model.weights.asking_style import AskingStyle, AskingStyleError
from ipt_model.weights.loading import ModelNotFoundError, find_folder
from ipt_model.wording import phrasing
from ipt_ros.answering.tint import tinted
from ipt_ros.client import Asker
from ipt_ros.conversions import matrix_to_pose, planar_matrix, stamp_to_ns
from ipt_ros.demo.robot import NodeProcess, Robot
from ipt_ros.demo.space import Space, SpaceWatch
from ipt_ros.demo.story import CameraMount, Pose2, Referee, ViewpointQuestion
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_ros.senses.images import image_to_mask, image_to_rgb
from ipt_training.scenes.camera import Camera

#: Places that the robot looks around from, besides where it stands, before it counts.
TOUR = 2
#: Of the camera pictures that an answer rests on, at most so many are in the report.
SHOWN = 6


@dataclass
class Card:
    """One question in the report. Pictures are H x W x 3 uint8 with a caption each."""

    title: str
    record: dict[str, Any]
    seen: list[tuple[str, np.ndarray]] = field(default_factory=list)
    imagined: list[tuple[str, np.ndarray]] = field(default_factory=list)
    truth: list[tuple[str, np.ndarray]] = field(default_factory=list)


def _mount() -> tuple[float, ...]:
    sim = defaults(SIM_PARAMETERS)
    return (sim.camera_x, sim.camera_y, sim.camera_z, 0.0, sim.camera_pitch, 0.0)


class Scenario:
    #: x, y, z, roll, pitch, yaw of the simulator's camera on its base, as `ipt_node` wants it.
    MOUNT = _mount()

    def __init__(
        self,
        seed: int,
        level: str,
        robot: Robot,
        asker: Asker,
        processes: Sequence[NodeProcess],
        model: str,
    ) -> None:
        """model: name or folder of the weights that the node loads."""
        sim = defaults(SIM_PARAMETERS)
        camera = Camera.from_fov(sim.width, sim.height, sim.horizontal_fov)
        self._referee = Referee(
            seed, level, CameraMount(sim.camera_x, sim.camera_z, sim.camera_pitch, camera)
        )
        self._pictures = style_of(model).pictures
        self._radius_m = defaults(IPT_PARAMETERS).robot_radius_m
        self._robot, self._asker, self._processes = robot, asker, processes
        self._seed, self._level = seed, level
        self._model_id = ""

    def run(self) -> tuple[list[Card], Space]:
        """A card for each question, and what stood on `~/imagined_space` meanwhile."""
        robot = self._robot
        robot.wait_until(lambda: self._alive() and robot.senses_ready(), "camera and map", 60.0)
        question = self._referee.viewpoint_question()
        robot.put(question.start)
        robot.wait_for_model(self._alive)
        # the mask first, while the map still has much that was not seen
        space = SpaceWatch(
            self._asker, robot, self._referee.truth, self._pictures.map_side_m
        ).look()
        robot.look_around()
        trace = self._trace_path()
        robot.put(question.start)
        imagine = self._imagine_view(question)
        return [imagine, trace, self._count_objects(), self._ask_spatial()], space

    def setting(self) -> dict[str, Any]:
        """What the report says of the world and the model."""
        return {
            "seed": self._seed,
            "level": self._level,
            "model_id": self._model_id,
            "objects": [o.name for o in self._referee.scene.objects],
            "measured": dict(style_of(self._model_id).training.get("measured", {})),
        }

    def _alive(self) -> bool:
        for process in self._processes:
            process.check()
        return True

    # -- the four questions -----------------------------------------------------------------------

    def _imagine_view(self, question: ViewpointQuestion) -> Card:
        goal = ImagineView.Goal(mode="imagine", seed=1, object=question.object_name)
        goal.viewpoint.header.frame_id = "odom"
        there = question.viewpoint
        # the camera, not the base, is what stands at the viewpoint
        goal.viewpoint.pose = matrix_to_pose(camera_body(there, self.MOUNT))
        result, withheld = self._asker.ask(ImagineView, goal), None
        if result.answer.abstained and not result.error_code:
            goal.mode = "recall"  # what the drawing does not answer, what was seen of it may
            result, withheld = self._asker.ask(ImagineView, goal), result
        self._robot.put(there)
        title = "What would I see from there?"
        card = self._card(title, "ImagineView", result, question.answer, withheld)
        card.truth = [("then the robot went there and looked", self._robot.newest_picture())]
        return card

    def _trace_path(self) -> Card:
        robot = self._robot
        line = self._referee.doubtful_path(robot.map, robot.pose, self._radius_m, self._pictures)
        ahead = line[-1] - line[0]
        robot.put(replace(robot.pose, yaw=math.atan2(ahead[1], ahead[0])))
        goal = TracePath.Goal(seed=1)
        goal.path.header.frame_id = "odom"
        for x, y in line:
            pose = PoseStamped()
            pose.pose = matrix_to_pose(planar_matrix(float(x), float(y), 0.0))
            goal.path.poses.append(pose)
        known = robot.map
        result = self._asker.ask(TracePath, goal)
        clear = self._referee.path_is_clear(line, self._radius_m)
        truth = "clear" if clear else "blocked"
        title = "Is this path clear, behind what I can't see past?"
        card = self._card(title, "TracePath", result, truth)
        verdict = {0: "unknown", 1: "clear", 2: "blocked"}[result.verdict.verdict]
        card.record["said"] = verdict
        card.record["probability_blocked"] = result.verdict.probability_blocked
        card.record["risk"] = list(result.verdict.risk)
        here = (robot.pose.x, robot.pose.y, robot.pose.yaw)
        view = maps.MapView.ahead(here, 256, self._pictures)
        card.seen.append(("the map so far", maps.draw_map(known, view, path=line, robot=here)))
        card.truth = [
            (
                "the whole map",
                maps.draw_map(self._referee.truth, view, path=line, robot=here),
            )
        ]
        return card

    def _count_objects(self) -> Card:
        question = self._referee.count_question()
        here = self._robot.pose
        # a count is of all that stands around, also behind what hides it from here
        for place in (*self._referee.tour(here, TOUR), here):
            self._robot.put(place)
            self._robot.look_around()
        goal = CountObjects.Goal(seed=1, category=question.category)
        result = self._asker.ask(CountObjects, goal)
        card = self._card("How many are there?", "CountObjects", result, str(question.answer))
        card.truth = [("the room from above", self._referee.top_down())]
        return card

    def _ask_spatial(self) -> Card:
        question = self._referee.viewpoint_question(turns_only=True)
        self._robot.put(question.start)
        self._robot.look_around()
        self._robot.put(question.start)
        phrase = phrasing.perspective_question("side", question.object_name, question.motion)
        goal = AskSpatial.Goal(
            mode="recall", seed=1, question=phrase.text, options=list(phrase.options)
        )
        result = self._asker.ask(AskSpatial, goal)
        self._robot.put(question.viewpoint)
        card = self._card("Any question, in words", "AskSpatial", result, question.answer)
        card.truth = [("then the robot turned and looked", self._robot.newest_picture())]
        return card

    # -- what came back ---------------------------------------------------------------------------

    def _card(
        self, title: str, action: str, result: Any, truth: str, withheld: Any = None
    ) -> Card:
        """withheld: the result that came before this one."""
        answer = result.answer
        times = answer.times
        stamps = [stamp_to_ns(s) for s in answer.provenance.source_stamps]
        self._model_id = answer.provenance.model_id or self._model_id
        record = {
            "action": action,
            "question": answer.question,
            "options": list(answer.options),
            "option_probabilities": list(answer.option_probabilities),
            "answer": answer.answer,
            "said": answer.answer or f"abstained: {answer.abstain_reason}",
            "truth": truth,
            "confidence": answer.confidence,
            "abstained": answer.abstained,
            "abstain_reason": answer.abstain_reason,
            "error_code": result.error_code,
            "error_msg": result.error_msg,
            "mode": answer.provenance.mode,
            "model_id": answer.provenance.model_id,
            "model_hash": answer.provenance.model_hash,
            "seed": answer.provenance.seed,
            "flow_steps": answer.provenance.flow_steps,
            "source_stamps": stamps,
            "seen_share": result.imagined_view.seen_share,
            "times": {name: getattr(times, name) for name in times.get_fields_and_field_types()},
        }
        card = Card(title, record)
        known = [
            (f"camera, stamp {stamp / 1e9:.3f}", picture)
            for stamp in stamps
            if (picture := self._robot.picture_of(stamp)) is not None
        ]
        # first and last among them, and others evenly between
        shown = np.linspace(0, len(known) - 1, min(len(known), SHOWN)).round().astype(int)
        card.seen = [known[k] for k in shown]
        if len(known) > SHOWN:
            caption, picture = card.seen[-1]
            card.seen[-1] = (f"{caption}, and {len(known) - SHOWN} more", picture)
        if withheld is not None:
            record["withheld_before"] = withheld.answer.abstain_reason
            drawn = withheld.imagined_view
            if drawn.image.height:
                card.imagined = [
                    (f"no answer from this one: {c}", p) for c, p in imagined_pictures(drawn)
                ]
        if result.imagined_view.image.height:
            card.imagined += imagined_pictures(result.imagined_view)
        return card


def imagined_pictures(view: Any) -> list[tuple[str, np.ndarray]]:
    """Of an ImaginedView: the picture, and where some of it is remembered, once more with the rest
    tinted.
    """
    picture = image_to_rgb(view.image)
    seen = image_to_mask(view.seen)
    if not seen.any():
        return [("all of it imagined", picture)]
    share = f"{100 * view.seen_share:.0f} % of it remembered"
    return [("imagined", picture), (share, tinted(picture, seen))]


def style_of(model: str) -> AskingStyle:
    """How a model is asked and what is known of it; the defaults where it has no folder."""
    try:
        return AskingStyle.load(find_folder(model))
    except (ModelNotFoundError, AskingStyleError):
        return AskingStyle()


def camera_body(pose: Pose2, mount: Sequence[float]) -> np.ndarray:
    """Map from camera body (x forward) for a robot at a pose. mount: x, y, z first, m."""
    shift = np.eye(4)
    shift[0, 3], shift[2, 3] = mount[0], mount[2]
    return planar_matrix(pose.x, pose.y, pose.yaw) @ shift

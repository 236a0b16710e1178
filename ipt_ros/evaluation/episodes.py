"""What is asked in an evaluation: stands, where the robot is put, and the episodes asked there.

Plain data, equal for equal seeds, so that a run that was stopped goes on with the same questions.
Lengths are metres, angles radians, poses x, y, yaw in the frame of the world.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipt_model.question import Task
from ipt_ros.evaluation.true_world import Pose

#: The action that each question is asked through.
IMAGINE_VIEW, TRACE_PATH, COUNT_OBJECTS, ASK_SPATIAL = (
    "ImagineView",
    "TracePath",
    "CountObjects",
    "AskSpatial",
)


@dataclass(frozen=True)
class Episode:
    """One question with its right answer. kind: what of the task is asked. options: in the order
    of the reply where the node makes them itself.

    object, text: of ImagineView and AskSpatial. viewpoint: of the camera's body. then: where the
    base stands for the true view. path: points on the floor. share_seen: how much of the asked
    view or path was in view from the stand, by the truth.
    """

    id: str
    task: Task
    kind: str
    action: str
    options: tuple[str, ...]
    answer: str
    share_seen: float
    object: str = ""
    text: str = ""
    viewpoint: Pose | None = None
    then: Pose | None = None
    path: tuple[tuple[float, float], ...] = ()
    radius_m: float = 0.0
    category: str = ""
    max_count: int = 0


@dataclass(frozen=True)
class Stand:
    """One place and what is asked there. turn: look around once before asking. mask: look at the
    imagined space as well.
    """

    id: str
    pose: Pose
    turn: bool
    mask: bool
    episodes: tuple[Episode, ...]

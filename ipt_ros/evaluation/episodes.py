"""What is asked in an evaluation: stands, where the robot is put, and the episodes asked there.

Plain data, equal for equal seeds, so that a run that was stopped goes on with the same questions.
Lengths are metres, angles radians, poses x, y, yaw in the frame of the world.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipt_model.question import Task

#: x, y in m and yaw in rad.
Pose = tuple[float, float, float]
#: Of a path.
CLEARANCE_OPTIONS = ("clear", "blocked")

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
    view or path was in view from the stand, by the truth. spot_px: column and row of the present
    picture, framed where what is asked about has no other name.
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
    spot_px: tuple[int, int] | None = None


@dataclass(frozen=True)
class Stand:
    """One place and what is asked there. turn: look around once before asking. mask: look at the
    imagined space as well. stamp_ns: in a recording, of its frame there.
    """

    id: str
    pose: Pose
    turn: bool
    mask: bool
    episodes: tuple[Episode, ...]
    stamp_ns: int = 0

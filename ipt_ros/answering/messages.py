"""From an answer to the messages that planners read. Stamps are those of the images that were
used, never `now`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipt_model.question import Answer, Mode, Outcome, Task
from ipt_ros.answering.guard import GuardScores
from ipt_ros.answering.questions import GroundedQuestion, scaled
from ipt_ros.conversions import intrinsics_to_camera_info, matrix_to_pose, ns_to_stamp
from ipt_ros.senses.images import mask_to_image, rgb_to_image
from ipt_ros.texts import cut

TASK_CODES = {
    Task.FREE: 0,
    Task.PERSPECTIVE: 1,
    Task.PATH: 2,
    Task.COUNTING: 3,
    Task.CLEARANCE: 4,
}
ABSTAIN_TEXT = {
    Outcome.UNPARSABLE: "the model's reply holds no answer",
    Outcome.OUT_OF_BUDGET: "the time budget did not suffice for an answer",
}


def header_of(grounded: GroundedQuestion, frame_id: str) -> Any:
    """Stamped with the newest observation used."""
    from std_msgs.msg import Header

    newest = max(source.stamp_ns for source in grounded.sources)
    return Header(stamp=ns_to_stamp(newest), frame_id=frame_id)


def _stamps_ns(grounded: GroundedQuestion, mode: Mode) -> list[int]:
    """Of every view used, those that were only remembered too; oldest first."""
    recalled = grounded.question.recalled
    remembered: Sequence[int] = ()
    if recalled is not None:
        looked_at = any(picture is recalled.rgb for picture in grounded.question.images)
        if looked_at or mode in (Mode.IMAGINE, Mode.RECALL):
            remembered = recalled.stamps_ns
    return sorted({source.stamp_ns for source in grounded.sources} | set(remembered))


def provenance_message(grounded: GroundedQuestion, answer: Answer) -> Any:
    from imaginative_perception.msg import Provenance

    of = answer.provenance
    return Provenance(
        model_id=of.model_id,
        model_hash=of.model_hash,
        seed=of.seed,
        flow_steps=of.flow_steps,
        mode=of.mode.value,
        source_stamps=[ns_to_stamp(t) for t in _stamps_ns(grounded, of.mode)],
    )


def answer_message(
    grounded: GroundedQuestion, answer: Answer, withheld: str, valid_s: float
) -> Any:
    """withheld: why the answer must not be acted on, or an empty string. valid_s: how long after
    its newest observation it may be acted on.
    """
    from imaginative_perception.msg import SpatialAnswer, StageTimes

    message = SpatialAnswer()
    newest = max(grounded.sources, key=lambda source: source.stamp_ns)
    message.header = header_of(grounded, newest.frame_id)
    message.task = TASK_CODES[grounded.question.task]
    message.question = cut(grounded.question.text)
    message.options = [cut(option) for option in grounded.question.options]
    message.option_probabilities = list(answer.option_probabilities)
    message.answer = "" if withheld else cut(answer.text)
    message.confidence = answer.confidence
    message.abstained = bool(withheld) or answer.outcome is not Outcome.ANSWERED
    message.abstain_reason = withheld or ABSTAIN_TEXT.get(answer.outcome, "")
    times = answer.times
    message.times = StageTimes(
        queue_s=times.queue_s,
        preprocess_s=times.preprocess_s,
        context_s=times.context_s,
        imagine_s=times.imagine_s,
        answer_s=times.answer_s,
        total_s=times.total_s,
    )
    message.valid_until = ns_to_stamp(newest.stamp_ns + round(valid_s * 1e9))
    message.provenance = provenance_message(grounded, answer)
    return message


def shown(grounded: GroundedQuestion, answer: Answer) -> np.ndarray | None:
    """What the model looked at when it answered: the first drawing, or what was recalled with its
    holes filled; None when it looked at no other view."""
    if answer.imagined_views:
        return answer.imagined_views[0]
    recalled = grounded.question.recalled
    if answer.provenance.mode is Mode.RECALL and recalled is not None:
        return recalled.filled
    return None


def imagined_message(
    grounded: GroundedQuestion, answer: Answer, scores: GuardScores, fixed_frame: str
) -> Any:
    """The view from elsewhere with the camera that would have taken it, and which of its pixels
    are remembered; height 0 when the answer needed none.
    """
    from imaginative_perception.msg import ImaginedView

    message = ImaginedView()
    message.overlap, message.consistency = scores.overlap, scores.consistency
    picture = shown(grounded, answer)
    if picture is None:
        return message
    message.header = header_of(grounded, "imagined_optical_frame")
    message.image = rgb_to_image(picture, message.header)
    seen = np.zeros(picture.shape[:2], bool)
    if grounded.question.recalled is not None:
        seen = grounded.question.recalled.seen_at(*picture.shape[:2])
    message.seen = mask_to_image(seen, message.header)
    message.seen_share = float(seen.mean())
    message.provenance = provenance_message(grounded, answer)
    if grounded.camera is not None and grounded.world_from_camera is not None:
        camera = scaled(grounded.camera, picture.shape[1], picture.shape[0])
        message.camera_info = intrinsics_to_camera_info(camera, message.header)
        message.pose.header = header_of(grounded, fixed_frame)
        message.pose.pose = matrix_to_pose(grounded.world_from_camera)
    return message

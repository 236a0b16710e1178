"""A running node whose time begins anew: one view of the new time is all that it gets, and it
answers of that one. Over DDS, in time that only the test moves.
"""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from harness import peer, running, until
from stepped_input import STEPPED, S, SteppedInput

from imaginative_perception.action import AskSpatial
from ipt_ros.conversions import stamp_to_ns

GOAL = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")


@pytest.fixture(scope="module")
def answered(ros_domain, tmp_path_factory):
    """Shows one view and waits for an answer of it."""
    domain, folder = ros_domain + 1, tmp_path_factory.mktemp("anew")
    with (
        running("ipt_node", domain, folder, parameters=STEPPED) as process,
        peer(domain) as tester,
    ):
        process.wait_for_print("ready:")
        client = tester.action(AskSpatial, "ipt_node/ask_spatial")
        world = SteppedInput(tester)

        def of(stamp_ns, parts):
            world.see(stamp_ns, parts)

            def check():
                result = tester.run_goal(client, GOAL)[1]
                of.last = result.error_msg
                stamps = [stamp_to_ns(s) for s in result.answer.provenance.source_stamps]
                return result.error_code == 0 and stamps == [stamp_ns]

            until(check, f"an answer of {stamp_ns} ns", 20.0)

        yield of


@pytest.mark.parametrize(
    "parts",
    [
        ("odometry", "info", "depth", "image"),
        ("image", "depth", "info", "odometry"),
        ("depth", "odometry", "image", "info"),
    ],
    ids=["pose first", "image first", "image between"],
)
def test_the_first_view_after_a_restart_is_answered_of(answered, parts):
    answered(50 * S, parts)
    answered(5 * S, parts)
    # and once more, though only one view was seen in between
    answered(1 * S, parts)

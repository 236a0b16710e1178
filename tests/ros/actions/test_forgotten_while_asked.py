"""Nobody is answered of what was forgotten meanwhile: neither of another time, nor after the reply
that says that it is gone. Over DDS, in time that only the test moves.
"""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import peer, running, until
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from stepped_input import STEPPED, S, SteppedInput

from imaginative_perception.action import AskSpatial
from ipt_ros.conversions import stamp_to_ns
from ipt_ros.errors import ErrorCode

pytestmark = pytest.mark.slow(20)
LONG = {"flow_steps": 200}
ASKED = {"question": "Which side?", "options": ["left", "right"]}


@pytest.fixture(scope="module")
def bench(ros_domain, tmp_path_factory):
    domain, folder = ros_domain + 1, tmp_path_factory.mktemp("meanwhile")
    with (
        running("ipt_node", domain, folder, parameters={**STEPPED, **LONG}) as process,
        peer(domain) as tester,
    ):
        process.wait_for_print("ready:")
        yield tester, SteppedInput(tester), tester.action(AskSpatial, "ipt_node/ask_spatial")


def jump_back(tester, world):
    world.see(5 * S)


def forget(tester, world):
    assert tester.call(Trigger, "ipt_node/forget", Trigger.Request()).success


def carry_away(tester, world):
    world.be_carried_away(51 * S)


NEWEST = {jump_back: 5 * S, forget: 50 * S, carry_away: 51 * S}


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (jump_back, ErrorCode.TIME_JUMP),
        (forget, ErrorCode.STALE_VIEW),
        (carry_away, ErrorCode.STALE_VIEW),
    ],
    ids=["time jumps back", "all is to be forgotten", "the robot is carried away"],
)
def test_a_goal_that_is_drawing_is_not_answered_of_what_was_before(bench, happens, code):
    tester, world, client = bench
    world.see(50 * S)
    at_once = AskSpatial.Goal(mode="answer", **ASKED)

    def stamps():
        result = tester.run_goal(client, at_once)[1]
        return [stamp_to_ns(one) for one in result.answer.provenance.source_stamps]

    until(lambda: stamps() == [50 * S], "the view is there")
    shown = tester.collect(Image, "ipt_node/imagined/image")
    stages = []
    goal = AskSpatial.Goal(mode="imagine", **ASKED)
    _, ended = tester.start_goal(client, goal, lambda one: stages.append(one.stage))
    until(lambda: "imagine" in stages, "it draws")
    happens(tester, world)
    done = tester.result(ended, "it ends")
    assert (done.status, done.result.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert "while the goal was under way" in done.result.error_msg
    assert done.result.answer.abstained and not done.result.imagined_view.image.data
    assert not len(shown)
    # and the next is answered of what there is now
    until(lambda: stamps() == [NEWEST[happens]], "it goes on")


def test_a_jump_is_a_warning_until_views_arrive_again_and_forgetting_is_none(bench):
    tester, world, _ = bench
    told = tester.collect(DiagnosticArray, "/diagnostics")

    def level(message):
        levels = [one.level for one in message.status if one.name.endswith(" time")]
        return levels[0] if levels else None

    world.see(60 * S)
    tester.call(GetParameters, "ipt_node/get_parameters", GetParameters.Request())
    jump_back(tester, world)
    told.wait_for(lambda one: level(one) == DiagnosticStatus.WARN)
    told.wait_for(lambda one: level(one) == DiagnosticStatus.OK)
    since = len(told)
    forget(tester, world)
    told.wait_more(2)
    assert {level(one) for one in told.messages[since:]} == {DiagnosticStatus.OK}

"""How `ipt_node` begins and ends, over DDS: what planners and askers hear when it is started,
respawned, activated with a model that takes its time, and told to go.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from harness import LATCHED, peer, running, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from robot_input import MOUNT, RobotInput

from imaginative_perception.action import AskSpatial
from ipt_ros.errors import ErrorCode

PARAMETERS = {
    "model": "ipt-tiny-untrained",
    "pose_source": "odometry",
    "mounts": list(MOUNT),
    "imagined_space": True,
    "imagined_space_period_s": 0.5,
    "imagined_space_timeout_s": 60.0,
    "imagined_space_imaginations": 1,
    "min_map_agreement": 0.0,
    "flow_steps": 2,
    "view_max_age_s": 5.0,
}
TERMINAL = {
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_ABORTED,
    GoalStatus.STATUS_CANCELED,
}
GOAL = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="imagine")
#: A disk so slow that the model comes when the test wants it.
SLOW_DISK = """
import importlib.abc, os, sys, time
class SlowDisk(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        while name == "ipt_model.asking.imaginer" and not os.path.exists(os.environ["GATE"]):
            time.sleep(0.02)
sys.meta_path.insert(0, SlowDisk())
"""
#: Far more than it takes, far less than a busy machine needs to load a model.
SOON_S = 10.0


@pytest.fixture
def domain(ros_domain):
    return ros_domain + 1


def claims(mask):
    return bool((np.array(mask.data, np.int8) != -1).any())


def standing(tester, masks):
    robot = RobotInput(tester)
    robot.send_map()
    until(lambda: len(masks) and claims(masks.newest), "a mask that claims something stands")
    return robot


def test_two_signals_at_once_leave_no_mask_behind(domain, tmp_path):
    """As `ros2 launch` without a terminal, systemd and impatient people send them."""
    with (
        running("ipt_node", domain, tmp_path, parameters=PARAMETERS) as process,
        peer(domain) as tester,
    ):
        masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        robot = standing(tester, masks)
        process.signal(signal.SIGINT)
        time.sleep(0.02)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
        robot.close()
        until(lambda: not claims(masks.newest), "the last mask is clear", SOON_S)


def test_a_respawned_node_takes_back_what_the_killed_one_left_before_it_loads(domain, tmp_path):
    with peer(domain) as tester:
        masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        with running("ipt_node", domain, tmp_path, parameters=PARAMETERS) as process:
            robot = standing(tester, masks)
            process.signal(signal.SIGKILL)
            process.wait()
        robot.close()
        assert claims(masks.newest)
        # never configured: it neither loads a model nor hears a map
        asleep = {**PARAMETERS, "autostart": False}
        with running("ipt_node", domain, tmp_path, parameters=asleep) as process:
            until(lambda: not claims(masks.newest), "an all-clear")
            mask = masks.newest
            assert (mask.header.frame_id, mask.info.width, mask.info.height) == ("odom", 1, 1)
            # and a node that was never configured hears signals
            process.signal(signal.SIGINT)
            assert process.wait() == 0


def test_every_accepted_goal_hears_its_end_when_the_node_is_told_to_go(domain, tmp_path):
    parameters = {**PARAMETERS, "imagined_space": False, "flow_steps": 200}
    with (
        running("ipt_node", domain, tmp_path, parameters=parameters) as process,
        peer(domain) as tester,
    ):
        client = tester.action(AskSpatial, "ipt_node/ask_spatial")
        robot = RobotInput(tester)
        until(lambda: works(tester, client), "it answers")
        asked = [tester.start_goal(client, GOAL)[1] for _ in range(5)]
        process.signal(signal.SIGTERM)
        ends = [tester.result(end, "the goal ends", SOON_S) for end in asked]
        assert {end.status for end in ends} <= TERMINAL
        assert {end.result.error_code for end in ends} <= {0, ErrorCode.CANCELLED}
        assert ends[-1].result.error_code == ErrorCode.CANCELLED
        assert process.wait() == 0
        robot.close()


def works(tester, client):
    goal = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="answer")
    return tester.run_goal(client, goal)[1].error_code == 0


# -- while the model loads


@pytest.fixture
def slow_disk(tmp_path):
    """Environment of a process, and the file that lets the model come."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_DISK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    gate = tmp_path / "gate"
    return {"PYTHONPATH": path, "GATE": str(gate)}, gate


def change(tester, number):
    request = ChangeState.Request(transition=Transition(id=number))
    return tester.call(ChangeState, "ipt_node/change_state", request).success


def state(tester):
    reply = tester.call(GetState, "ipt_node/get_state", GetState.Request())
    return reply.current_state.label


def refusal(tester, client):
    status, result = tester.run_goal(client, GOAL)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, ErrorCode.NOT_ACTIVE)
    return result.error_msg


def test_while_the_model_loads_everybody_is_heard(domain, tmp_path, slow_disk):
    environment, gate = slow_disk
    parameters = {**PARAMETERS, "autostart": False}
    with (
        running(
            "ipt_node", domain, tmp_path, parameters=parameters, environment=environment
        ) as process,
        peer(domain) as tester,
    ):
        client = tester.action(AskSpatial, "ipt_node/ask_spatial")
        statuses = tester.collect(DiagnosticArray, "/diagnostics")
        assert "not active" in refusal(tester, client)
        # a transition that this state does not have is refused, and ends nothing
        assert not change(tester, Transition.TRANSITION_DEACTIVATE)
        assert change(tester, Transition.TRANSITION_CONFIGURE)
        activated = start_activating(tester)
        until(lambda: "loading" in refusal(tester, client), "goals hear that it loads", 30)
        statuses.wait_for(lambda m: any(s.message == "loading" for s in m.status))
        assert state(tester) == "inactive" and not activated.done()
        request = SetParameters.Request(parameters=[Parameter(name="flow_steps")])
        request.parameters[0].value = ParameterValue(
            type=ParameterType.PARAMETER_INTEGER, integer_value=4
        )
        reply = tester.call(SetParameters, "ipt_node/set_parameters", request)
        assert reply.results[0].successful
        # who changes their mind is heard too, and whoever waits for the model is told no
        assert change(tester, Transition.TRANSITION_CLEANUP)
        assert state(tester) == "unconfigured"
        gate.touch()
        assert not tester.result(activated, "the answer to the first wish").success
        assert change(tester, Transition.TRANSITION_CONFIGURE)
        assert change(tester, Transition.TRANSITION_ACTIVATE)
        assert state(tester) == "active"
        assert "ready:" in process.printed()
        assert not change(tester, Transition.TRANSITION_ACTIVATE)


def start_activating(tester):
    """The future of the answer, which comes when the model does."""
    client = tester.node.create_client(ChangeState, "ipt_node/change_state")
    until(client.service_is_ready, "the service is there")
    wish = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
    return tester.there(lambda: client.call_async(wish))


def test_a_signal_while_the_model_loads_ends_it(domain, tmp_path, slow_disk):
    environment, _ = slow_disk
    with (
        running(
            "ipt_node", domain, tmp_path, parameters=PARAMETERS, environment=environment
        ) as process,
        peer(domain) as tester,
    ):
        masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        process.wait_for_print("loading")
        masks.wait(1)
        code, seconds = process.terminate()
        assert code == 0 and seconds < SOON_S
        assert not claims(masks.newest)


def test_activating_without_a_model_fails_and_says_why(domain, tmp_path):
    parameters = {**PARAMETERS, "autostart": False, "model": "/nowhere/at/all"}
    with (
        running("ipt_node", domain, tmp_path, parameters=parameters) as process,
        peer(domain) as tester,
    ):
        assert change(tester, Transition.TRANSITION_CONFIGURE)
        assert not change(tester, Transition.TRANSITION_ACTIVATE)
        assert "/nowhere/at/all" in process.printed()
        assert state(tester) == "inactive"


# -- what people type


def end_of(domain, folder, *arguments):
    with running("ipt_node", domain, folder, ros_arguments=arguments) as process:
        return process.wait(), process.printed()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("-p", "flow_steps:=many"),
            "ipt_node: flow_steps: expected integer 0 to 200, got 'many'",
        ),
        (("-p", "rubbish"), "rubbish"),
        (("--", "--level", "house"), "ipt_node: unknown argument '--level'"),
    ],
)
def test_a_bad_start_is_one_line_and_no_traceback(domain, tmp_path, arguments, words):
    code, printed = end_of(domain, tmp_path, *arguments)
    assert code in (1, 2)
    assert words in printed and len(printed.strip().splitlines()) == 1, printed


@pytest.mark.parametrize("executable", ["ipt_node", "sim_node", "evaluate_node"])
def test_help_lists_every_parameter(domain, tmp_path, executable):
    from ipt_ros.parameters.page import NODES

    with running(executable, domain, tmp_path, ros_arguments=("--", "--help")) as process:
        assert process.wait() == 0
        printed = process.printed()
    table = next(table for name, _, table in NODES if name == executable)
    assert printed.startswith("usage: ")
    assert all(f"{row.name} ({row.type_name}" in printed for row in table)

"""A stage of drives lives in the process of whoever drives, and goes before that process does."""

import threading
import time

import pytest
from harness import peer, until
from rclpy.action import ActionClient

from imaginative_perception.action import AskSpatial
from ipt_model.question import Cancelled, Progress
from ipt_ros.navigation.errands.houses import house_of
from ipt_ros.navigation.stage import Stage

pytestmark = pytest.mark.slow(5)
#: Of rcl, which gives what it made for a lifecycle node back with the interpreter.
OF_RCL = {"/ipt_node/transition_event", "/rosout"}


def test_nothing_that_a_stage_published_stays_in_its_domain(ros_domain, tmp_path):
    """Its last map is kept for late joiners: it would be news to whoever comes later."""
    domain = ros_domain + 3
    with peer(domain) as witness:

        def published():
            node = witness.node
            return {
                topic
                for topic, _ in node.get_topic_names_and_types()
                if any(p.node_name != "tester" for p in node.get_publishers_info_by_topic(topic))
            } - OF_RCL

        with Stage("ipt-tiny-untrained", tmp_path / "scene.json", domain) as stage:
            stage.enter(house_of(850002))
            all_there = {"/map", "/ipt_node/imagined_space", "/camera/image"}
            until(lambda: all_there <= published(), "the witness sees the whole stage")
        until(lambda: not published(), "it is gone", timeout_s=10)
        assert stage.robot is not None  # let go of by nobody


def test_who_leaves_in_the_middle_of_a_question_leaves_nobody_at_it(ros_domain, tmp_path, capfd):
    """A model that is at one long pass meanwhile would find an executor that is gone."""
    at_it = threading.Event()
    with Stage("ipt-tiny-untrained", tmp_path / "scene.json", ros_domain + 3) as stage:
        stage.enter(house_of(850002))
        client = ActionClient(stage.node, AskSpatial, "ipt_node/ask_spatial")
        assert stage.wait(client.server_is_ready, 20)
        active = stage._ipt._model.active

        def one_long_pass(question, on_progress, **how):
            at_it.set()
            assert active.stopping.wait(20)
            time.sleep(0.5)
            on_progress(Progress("answer", 0.9))
            raise Cancelled

        active.imaginer.ask = one_long_pass
        client.send_goal_async(AskSpatial.Goal(question="Which side?", options=["a", "b"]))
        assert stage.wait(at_it.is_set, 20)
    time.sleep(1.0)
    assert "Traceback" not in capfd.readouterr().err

"""`~/imagine_space` over DDS, in time that only the test moves: whoever asks hears an answer, in
every state of the node, and what is drawn is what the timer would have drawn.
"""

from __future__ import annotations

import os
import signal
import time
import zlib
from functools import cached_property

import pytest
from harness import LATCHED, peer, running, until
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mask_life import claims, is_clear
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.qos import QoSProfile
from stepped_input import STEPPED, S, SteppedInput

from imaginative_perception.action import AskSpatial
from imaginative_perception.srv import ImagineSpace
from ipt_ros.conversions import ns_to_stamp, stamp_to_ns

PARAMETERS = {
    **STEPPED,
    "imagined_space": True,
    # nothing draws but who asks
    "imagined_space_period_s": 0.0,
    "imagined_space_timeout_s": 600.0,
    "imagined_space_imaginations": 1,
    # an untrained drawing agrees with nothing
    "min_map_agreement": 0.0,
}
GOAL = AskSpatial.Goal(question="Which side?", options=["left", "right"], mode="imagine")
#: Steps of a drawing, and drawings of a mask, that keep the model busy for long.
LONG = {"flow_steps": 200, "imagined_space_imaginations": 4}


class Bench:
    """A node, its masks, its input, and somebody who asks it for a mask."""

    def __init__(self, process, tester):
        self.process, self.tester = process, tester
        self.masks = tester.collect(OccupancyGrid, "ipt_node/imagined_space", LATCHED)
        # a burst overruns the default depth of 10 on this side too
        self._client = tester.node.create_client(
            ImagineSpace, "ipt_node/imagine_space", qos_profile=QoSProfile(depth=200)
        )
        until(self._client.service_is_ready, "the service is there")
        self.now_ns = 10 * S

    @cached_property
    def input(self):
        """A node that is not configured hears none."""
        return SteppedInput(self.tester)

    def asked(self, stamp_ns):
        """The future of the reply."""
        request = ImagineSpace.Request(stamp=ns_to_stamp(stamp_ns))
        return self.tester.there(lambda: self._client.call_async(request))

    def reply(self, asked):
        return self.tester.result(asked, "the reply comes")

    def ask(self, stamp_ns):
        return self.reply(self.asked(stamp_ns))

    def meet(self):
        """Until a reply arrives: a service that has just met its client may reply to nobody."""

        def heard():
            asked = self.asked(self.now_ns)
            until_s = time.monotonic() + 2.0
            while not asked.done() and time.monotonic() < until_s:
                time.sleep(0.02)
            return asked.done()

        until(heard, "a first reply comes")

    def step(self, columns=50):
        """A view and a map of a new time, which is returned."""
        self.now_ns += S
        self.input.see(self.now_ns)
        self.input.map(self.now_ns, columns)
        return self.now_ns

    def standing(self):
        """A mask of a new time claims something."""
        reply = self.ask(self.step())
        assert reply.success, reply.message
        return self.mask_of(reply)

    def mask_of(self, reply):
        return self.masks.wait_for(lambda m: zlib.crc32(m.data.tobytes()) == reply.checksum)

    def has_heard(self):
        """It has taken in what was sent to it before; it hears requests while it works."""
        self.tester.call(GetParameters, "ipt_node/get_parameters", GetParameters.Request())

    def set(self, **values):
        request = SetParameters.Request()
        for name, value in values.items():
            kind, field = {
                bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
                int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
            }[type(value)]
            value = ParameterValue(type=kind, **{field: value})
            request.parameters.append(Parameter(name=name, value=value))
        reply = self.tester.call(SetParameters, "ipt_node/set_parameters", request)
        assert all(one.successful for one in reply.results), reply

    def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        assert self.tester.call(ChangeState, "ipt_node/change_state", request).success


def bench_of(domain, folder, **parameters):
    return running("ipt_node", domain, folder, parameters={**PARAMETERS, **parameters})


@pytest.fixture(scope="module")
def one(ros_domain, tmp_path_factory):
    """That has neither heard a map nor seen a picture when the first test begins."""
    domain, folder = ros_domain + 1, tmp_path_factory.mktemp("asked")
    with bench_of(domain, folder) as process, peer(domain) as tester:
        bench = Bench(process, tester)
        process.wait_for_print("ready:")
        yield bench


@pytest.fixture
def bench(one):
    one.set(flow_steps=2, imagined_space_imaginations=1, imagined_space=True)
    return one


# -- before there is anything to draw of ----------------------------------------------------------


def test_before_the_first_picture_it_says_that_no_image_has_come(bench):
    bench.input.map(10 * S)
    reply = bench.ask(10 * S)
    assert not reply.success and "no image has arrived" in reply.message
    assert not any(claims(mask) for mask in bench.masks.messages)


def test_without_a_map_it_says_that_none_has_come(ros_domain, tmp_path):
    with bench_of(ros_domain + 2, tmp_path) as process, peer(ros_domain + 2) as tester:
        bench = Bench(process, tester)
        process.wait_for_print("ready:")
        bench.input.see(10 * S)
        reply = bench.ask(10 * S)
    assert not reply.success and "no map has arrived" in reply.message
    assert reply.checksum == 0


def test_in_every_state_that_draws_nothing_it_says_which(ros_domain, tmp_path):
    """Unconfigured, inactive, and once more after cleanup: the service is there, and tells."""
    with (
        bench_of(ros_domain + 2, tmp_path, autostart=False) as process,
        peer(ros_domain + 2) as tester,
    ):
        bench = Bench(process, tester)
        bench.meet()
        for number in (
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_CLEANUP,
            Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
            None,
        ):
            reply = bench.ask(10 * S)
            assert not reply.success and "not active" in reply.message
            if number is not None:
                bench.transition(number)


# -- what is drawn --------------------------------------------------------------------------------


def test_what_is_asked_for_before_it_comes_is_drawn_when_it_comes(bench):
    """An asker that waits must not hold up the camera that it waits for."""
    stamp_ns = bench.now_ns = bench.now_ns + S
    asked = bench.asked(stamp_ns)
    bench.has_heard()
    bench.input.map(stamp_ns)
    bench.input.see(stamp_ns)
    reply = bench.reply(asked)
    assert reply.success and reply.message == "drawn"
    assert claims(bench.mask_of(reply))


def test_the_mask_is_that_of_the_timer_for_the_same_view_and_map(bench, ros_domain, tmp_path):
    stamp_ns = bench.step(columns=60)
    reply = bench.ask(stamp_ns)
    assert reply.success, reply.message
    asked = bench.mask_of(reply)
    assert claims(asked) and stamp_to_ns(asked.header.stamp) == stamp_ns
    timed = {"imagined_space_period_s": 0.5}
    with bench_of(ros_domain + 2, tmp_path, **timed) as process, peer(ros_domain + 2) as tester:
        other = Bench(process, tester)
        process.wait_for_print("ready:")
        other.input.see(stamp_ns)
        other.input.map(stamp_ns, columns=60)
        assert other.masks.wait_for(claims) == asked


def test_a_view_that_is_gone_is_refused_and_what_stands_stays(bench):
    """Who asks for what cannot be had takes nothing away from a planner."""
    stood = bench.standing()
    heard = len(bench.masks)
    reply = bench.ask(bench.now_ns - S)
    assert not reply.success and "newer one has come" in reply.message
    never = bench.ask(bench.now_ns + S)
    assert not never.success and "within 5 s" in never.message
    assert len(bench.masks) == heard
    assert reply.checksum == never.checksum == zlib.crc32(stood.data.tobytes())


# -- several at once ------------------------------------------------------------------------------


def test_all_clear_when_the_robot_is_carried_away(bench):
    """All that was seen before is forgotten, and with it what was drawn from there."""
    bench.standing()
    bench.input.dwell(bench.now_ns)
    heard = len(bench.masks)
    bench.now_ns += 2 * S
    bench.input.be_carried_away(bench.now_ns)
    # long before the view is too old
    bench.masks.wait_for(is_clear, 0.5 * STEPPED["view_max_age_s"], since=heard)
    bench.now_ns += 2 * S
    # home again, which is one more jump
    bench.input.see(bench.now_ns)
    bench.input.dwell(bench.now_ns)
    bench.now_ns += 2 * S
    bench.standing()


def test_of_many_who_ask_at_once_each_is_answered(bench):
    stamp_ns = bench.step()
    asked = [bench.asked(stamp_ns) for _ in range(12)]  # more than the default depth
    replies = [bench.reply(one) for one in asked]
    assert {(r.success, r.message) for r in replies} == {(True, "drawn")}
    assert len({r.checksum for r in replies}) == 1


def test_goals_that_wait_are_answered_first(bench):
    bench.set(flow_steps=60)
    stamp_ns = bench.step()
    bench.has_heard()
    client = bench.tester.action(AskSpatial, "ipt_node/ask_spatial")
    goals = [bench.tester.start_goal(client, GOAL)[1] for _ in range(3)]
    asked = bench.asked(stamp_ns)
    bench.has_heard()
    assert not goals[-1].done()
    later = bench.tester.start_goal(client, GOAL)[1]
    reply = bench.reply(asked)
    assert all(goal.done() for goal in (*goals, later))
    assert {goal.result().result.error_code for goal in (*goals, later)} == {0}
    assert reply.success, reply.message


# -- when it is not to be drawn any more ----------------------------------------------------------


def drawing_for(bench, count=2):
    """So many who ask for one long drawing, while another mask stands."""
    bench.standing()
    bench.set(**LONG)
    stamp_ns = bench.step()
    asked = [bench.asked(stamp_ns) for _ in range(count)]
    bench.has_heard()
    assert not any(one.done() for one in asked)
    return asked


def test_who_asks_hears_when_it_is_switched_off(bench):
    bench.set(imagined_space=False)
    reply = bench.ask(bench.step())
    assert not reply.success and "imagined_space is false" in reply.message


def test_deactivated_while_it_draws_it_says_so_and_claims_nothing(bench):
    asked = drawing_for(bench)
    heard = len(bench.masks)
    bench.transition(Transition.TRANSITION_DEACTIVATE)
    try:
        for reply in map(bench.reply, asked):
            assert not reply.success
            assert "not active" in reply.message or "deactivated" in reply.message
        # what stood was taken back, and is not drawn anew
        again = bench.ask(bench.now_ns)
        assert not again.success and "not active" in again.message
        assert is_clear(bench.masks.newest)
        assert not any(claims(mask) for mask in bench.masks.messages[heard:])
    finally:
        bench.transition(Transition.TRANSITION_ACTIVATE)


def test_cleaned_up_while_it_draws_everybody_who_asked_hears(bench):
    asked = drawing_for(bench)
    for number in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
    ):
        bench.transition(number)
    for reply in map(bench.reply, asked):
        assert not reply.success and reply.message
    bench.transition(Transition.TRANSITION_ACTIVATE)
    bench.set(flow_steps=2, imagined_space_imaginations=1)
    assert claims(bench.standing())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_go_while_it_draws_it_says_so_and_leaves_no_mask(ros_domain, tmp_path, number):
    with bench_of(ros_domain + 2, tmp_path) as process, peer(ros_domain + 2) as tester:
        bench = Bench(process, tester)
        process.wait_for_print("ready:")
        asked = drawing_for(bench)
        heard = len(bench.masks)
        os.kill(process.pid, number)
        late = [bench.asked(bench.now_ns) for _ in range(5)]
        for reply in map(bench.reply, asked):
            assert not reply.success and "going" in reply.message
        # it may have gone before these reach it
        for reply in [one.result() for one in late if one.done()]:
            assert not reply.success and "going" in reply.message
        assert process.wait() == 0
        until(lambda: is_clear(bench.masks.newest), "the last mask is clear")
        assert not any(claims(mask) for mask in bench.masks.messages[heard:])

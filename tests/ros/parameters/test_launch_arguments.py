"""Launch arguments as values of the node's parameters; needs no launch."""

import re

import pytest

from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.launch_arguments import USE_SIM_TIME, value_of
from ipt_ros.parameters.table import ParameterError

ROWS = {row.name: row for row in (USE_SIM_TIME, *IPT_PARAMETERS)}


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("use_sim_time", "True", True),
        ("use_sim_time", "false", False),
        ("mounts", "[0, 0, 1, 0, 0.25, 0]", [0.0, 0.0, 1.0, 0.0, 0.25, 0.0]),
        ("max_spread", "1", 1.0),
        ("view_max_age_s", "5e-1", 0.5),
        ("flow_steps", "4", 4),
        ("model", "7", "7"),
        ("model", "true", "true"),
        ("cameras", "[left, right]", ["left", "right"]),
    ],
)
def test_an_argument_becomes_a_value_of_its_parameters_type(name, argument, value):
    found = value_of(ROWS[name], argument)
    assert found == value and type(found) is type(value)
    if isinstance(value, list):
        assert {type(one) for one in found} == {type(one) for one in value}


@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("autostart", "maybe", "autostart: expected bool, got 'maybe'"),
        ("autostart", "1", "autostart: expected bool, got 1"),
        ("mounts", "[a, b]", "mounts: expected double array, got ['a', 'b']"),
        ("mounts", "[", "mounts: expected double array, got '['"),
        ("mounts", "[true]", "mounts: expected double array, got [True]"),
        ("max_spread", "nan", "max_spread: expected double 0 to 1"),
        ("flow_steps", "2.5", "flow_steps: expected integer 0 to 200"),
        ("pose_source", "gps", "pose_source: expected string one of tf, odometry, got 'gps'"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(name, argument, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        value_of(ROWS[name], argument)

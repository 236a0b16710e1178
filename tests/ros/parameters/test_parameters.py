"""One table serves node, page and YAML; bad values are refused with words that help."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_ros.parameters.page import NODES, files, main, section, yaml_file
from ipt_ros.parameters.table import Parameter, ParameterError, Values, checked, declare, defaults

ROOT = Path(__file__).parents[3]
TABLE = (
    Parameter("rate", 10.0, "Hz.", minimum=1.0, maximum=30.0),
    Parameter("count", 3, "How many.", minimum=0),
    Parameter("on", True, "Whether."),
    Parameter("mode", "auto", "How.", choices=("auto", "answer")),
    Parameter("camera_names", ("front",), "Which."),
    Parameter("sizes", (0.5, 1.0), "m.", minimum=0.0, read_only=True),
)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate", 15, "expected double 1 to 30, got 15; write 15.0"),
        ("rate", 31.0, "1 to 30, got 31.0"),
        ("rate", math.nan, "got nan"),
        ("rate", "fast", "got 'fast'"),
        ("rate", None, "got None"),
        ("count", True, "expected integer at least 0, got True"),
        ("count", -1, "at least 0, got -1"),
        ("on", 1, "expected bool, got 1"),
        ("mode", "imagine", "one of auto, answer, got 'imagine'"),
        ("camera_names", "front", "string array"),
        ("camera_names", [], "string array"),
        ("sizes", [0.1, -0.1], "at least 0"),
    ],
)
def test_a_bad_value_is_refused_with_name_expectation_and_value(name, value, words):
    with pytest.raises(ParameterError) as error:
        checked(TABLE, defaults(TABLE), {name: value})
    assert str(error.value).startswith(name + ":")
    assert words in str(error.value)


@given(st.floats(1, 30), st.integers(0, 10**6), st.lists(st.floats(0, 9), min_size=1))
def test_allowed_values_are_taken_and_the_rest_stays(rate, count, sizes):
    values = checked(TABLE, defaults(TABLE), {"rate": rate, "count": count, "sizes": sizes})
    assert (values.rate, values.count, values.sizes) == (rate, count, tuple(sizes))
    assert values.mode == "auto" and values["camera_names"] == ("front",)


def test_a_snapshot_is_frozen_and_unknown_names_say_what_there_is():
    values = defaults(TABLE)
    assert values.camera_names == ("front",) and len(values) == len(TABLE)
    with pytest.raises(AttributeError, match="cannot be changed"):
        values.rate = 5.0
    with pytest.raises(AttributeError, match=r"no parameter 'speed'.*'rate'"):
        _ = values.speed


def test_values_that_do_not_go_together_are_refused():
    def check(values: Values) -> str | None:
        return (
            "count: 0 needs mode answer" if values.count == 0 and values.mode == "auto" else None
        )

    checked(TABLE, defaults(TABLE), {"count": 0, "mode": "answer"}, check)
    with pytest.raises(ParameterError, match="count: 0 needs mode answer"):
        checked(TABLE, defaults(TABLE), {"count": 0}, check)


def test_a_row_that_contradicts_itself_cannot_be_made():
    with pytest.raises(ParameterError, match="1 to 2"):
        Parameter("rate", 3.0, "", minimum=1.0, maximum=2.0)
    with pytest.raises(ParameterError, match="no parameter name"):
        Parameter("my rate", 3.0, "")
    with pytest.raises(ParameterError, match="empty list"):
        Parameter("names", (), "")


@pytest.fixture
def node(ros):
    from rclpy.node import Node

    made = []

    def make(*overrides: str, arguments: list[str] | None = None) -> Node:
        given = ["--ros-args", *(arguments or [])]
        given += [part for o in overrides for part in ("-p", o)]
        made.append(Node("parameter_test", cli_args=given, context=ros))
        return made[-1]

    yield make
    for one in made:
        one.destroy_node()


def test_on_a_node_values_are_taken_from_the_command_line_and_changed_live(node):
    from rclpy.parameter import Parameter as RosParameter

    one = node("rate:=20.0", "camera_names:=[left, right]")
    live = declare(one, TABLE)
    assert live.values.rate == 20.0 and live.values.camera_names == ("left", "right")
    seen = []
    live.on_change(seen.append)
    before = live.values

    def refused(name, value):
        result = one.set_parameters([RosParameter(name, value=value)])[0]
        assert not result.successful
        return result.reason

    assert one.set_parameters([RosParameter("rate", value=5.0)])[0].successful
    assert (live.values.rate, before.rate, [v.rate for v in seen]) == (5.0, 20.0, [5.0])
    assert "expected double 1 to 30, got 99.0" in refused("rate", 99.0)
    assert "got nan" in refused("rate", math.nan)
    assert "write 7.0" in refused("rate", 7)
    assert "got None" in refused("rate", None)
    assert "read-only" in refused("sizes", [1.0])
    both = [RosParameter("count", value=4), RosParameter("mode", value="wrong")]
    assert not one.set_parameters_atomically(both).successful
    assert (live.values.rate, live.values.count, len(seen)) == (5.0, 3, 1)
    assert one.get_parameter("count").value == 3
    assert one.describe_parameter("rate").additional_constraints == "double 1 to 30"


def test_on_a_node_a_bad_start_value_is_refused(node):
    with pytest.raises(
        ParameterError, match=r"rate: expected double 1 to 30, got 15; write 15\.0"
    ):
        declare(node("rate:=15"), TABLE)


@pytest.mark.parametrize("name", sorted(files()))
def test_page_and_yaml_files_are_up_to_date(name):
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == files()[name], "run: python -m ipt_ros.parameters.page"


def test_a_yaml_file_reaches_the_node_in_any_namespace(node, tmp_path):
    path = tmp_path / "n.yaml"
    path.write_text(yaml_file("parameter_test", "", TABLE).replace("rate: 10.0", "rate: 12.5"))
    for namespace in ("/", "/robot1", "/fleet/robot1"):
        one = node("count:=7", arguments=["--params-file", str(path), "-r", f"__ns:={namespace}"])
        live = declare(one, TABLE)
        assert (live.values.rate, live.values.count) == (12.5, 7)
        assert live.values.camera_names == ("front",)


def test_files_are_written_and_show_every_parameter(tmp_path):
    for folder in ("docs", "config"):
        (tmp_path / folder).mkdir()
    main([str(tmp_path)])
    text = (tmp_path / "docs" / "parameters.md").read_text()
    for name, _, table in NODES:
        assert f"## {name}" in text
        assert all(f"| `{row.name}` |" in text for row in table)
        assert (tmp_path / "config" / f"{name}.yaml").exists()
    shown = section("n", "", TABLE)
    assert '| `mode` | string | "auto" | one of auto, answer | live | How. |' in shown
    assert "| `sizes` | double array | [0.5, 1.0] | at least 0 | at start | m. |" in shown

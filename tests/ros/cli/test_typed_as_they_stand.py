"""What README and docs tell people to ask the simulated robot, typed as it stands, is answered
rightly and not withheld by the shipped model.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import get_package_prefix, get_package_share_path
from harness import PACKAGE, running

from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.simulator.robot import Robot, RobotLimits
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.standing import Furniture

pytestmark = pytest.mark.slow(60)

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", ROOT / "docs" / "cli.md", ROOT / "docs" / "first_robot.md")
#: Those with one right answer that the robot can give where it stands.
VERBS = ("ask", "imagine", "path")
GOAL = re.compile(r"^ros2 action send_goal .*/AskSpatial\s+(?P<goal>\".*\")$", re.MULTILINE)
#: What the node takes it to be, m.
ROBOT_M = 0.3


def typed() -> list[list[str]]:
    """The words after `ipt`."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.M | re.S)
        text = "".join(blocks).replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["ipt"] and words[1] in VERBS:
                found.append(words[1:])
        for match in GOAL.finditer(text):
            goal = yaml.safe_load(shlex.split(match["goal"])[0])
            found.append(["ask", goal["question"], "--options", *goal["options"]])
    return found


@pytest.fixture(scope="module")
def domain(ros_domain, tmp_path_factory):
    """Of the two nodes as sim.launch.py level:=house starts them."""
    folder, own = tmp_path_factory.mktemp("typed"), ros_domain + 1
    config = str(get_package_share_path(PACKAGE) / "config" / "sim_robot.yaml")
    file = ("--params-file", config)
    with (
        running("sim_node", own, folder, parameters={"level": "house"}, ros_arguments=file),
        running("ipt_node", own, folder, ros_arguments=file) as node,
    ):
        node.wait_for_print("ready:")
        yield own


@pytest.fixture(scope="module")
def house():
    (seed,) = (row.default for row in SIM_PARAMETERS if row.name == "seed")
    return make_scene(seed, level="house")


def test_there_is_something_to_type():
    assert {words[0] for words in typed()} == set(VERBS)
    assert sum("Turn left 60" in " ".join(words) for words in typed()) >= 2


@pytest.mark.parametrize("words", typed(), ids=" ".join)
def test_it_is_answered_rightly(domain, house, tmp_path, words):
    path = Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / "ipt"
    done = subprocess.run(
        [path, *words, "--json"],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    if words[0] == "path":
        assert answer["verdict"] == "clear" and is_clear(house, words[1:])
    else:
        assert answer["answer"] == side_of(house, words)


def side_of(house, words):
    """Of the camera, once the robot has moved as the words say."""
    robot = Robot(house, RobotLimits())
    if words[0] == "ask":
        way, degrees, name = re.search(
            r"Turn (left|right) (\d+) degrees. Will the (.*) be on", words[1]
        ).groups()
        forward, left, turn = 0.0, 0.0, int(degrees) * (1 if way == "left" else -1)
    else:
        option = dict(zip(words[1::2], words[2::2], strict=True))
        name = option["--object"]
        forward, left, turn = (float(option.get(o, 0)) for o in ("--forward", "--left", "--turn"))
    cos, sin = math.cos(robot.yaw), math.sin(robot.yaw)
    x = robot.x + cos * forward - sin * left
    y = robot.y + sin * forward + cos * left
    ahead = robot.yaw + math.radians(turn)
    (thing,) = (one for one in house.objects if one.name == name)
    bearing = math.atan2(thing.position[1] - y, thing.position[0] - x) - ahead
    return "left" if math.sin(bearing) > 0 else "right"


def is_clear(house, words):
    """In odom, which is where the simulator's world begins."""
    furniture = Furniture(house, RobotLimits().height_m)
    points = [tuple(map(float, word.split(","))) for word in words if "," in word]
    return all(
        furniture.clearance(*(a + k / 50 * (b - a) for a, b in zip(start, end, strict=True)))
        > ROBOT_M
        for start, end in itertools.pairwise(points)
        for k in range(51)
    )

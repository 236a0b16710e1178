"""What package.xml, pyproject.toml, requirements and scripts promise to those who install."""

import ast
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ipt_model.weights.styles import style_names

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow(40)
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"imaginative_perception", "ipt_ros", "ipt_model", "ipt_training"}
#: rosdep's names of what is not called as it is imported.
KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "PIL": "python3-pil",
    "rich": "python3-rich",
    "scipy": "python3-scipy",
    "tf2_ros": "tf2_ros_py",
    "yaml": "python3-yaml",
}
BY_PIP = {"torch", "transformers", "diffusers", "pyarrow", "rosbags", "rosbags_image", "open3d"}
#: Used where it is there; the code says what is missing without it.
OPTIONAL = {"nav2_msgs"}


def imported(*folders):
    """Top-level names that the sources import, wherever in a file."""
    found = set()
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OURS


def requirements(name):
    """Names in a file of requirements, and in those that it includes."""
    found = set()
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found |= requirements(line[3:].strip())
        elif line:
            found.add(re.match(r"[\w-]+", line)[0].lower())
    return found


def depends():
    return {e.text for e in PACKAGE if e.tag in ("depend", "exec_depend")}


def test_package_xml_names_all_of_ros_and_debian_that_nodes_and_launch_files_import():
    names = imported("ipt_ros", "launch") - BY_PIP - OPTIONAL
    assert len(names) > 15
    assert {n for n in names if KEYS.get(n, n) not in depends()} == set()
    beside = imported("ipt_model", "training/scenes", "training/rendering")
    assert {KEYS[n] for n in beside & set(KEYS)} <= depends()


def test_the_documents_that_package_xml_names_exist():
    text = (ROOT / "package.xml").read_text()
    named = re.findall(r"docs/\w+\.md", text)
    assert named and all((ROOT / name).is_file() for name in named)


def test_a_robot_gets_by_pip_what_rosdep_has_no_keys_for():
    assert {"torch", "transformers", "diffusers", "safetensors"} <= requirements("robot.txt")
    assert requirements("simulator.txt") == {"open3d-cpu"}
    for text in (ROOT / "README.md", ROOT / "docs" / "install.md"):
        for name in ("robot.txt", "simulator.txt"):
            assert f"requirements/{name}" in text.read_text(encoding="utf-8")


def test_the_same_commands_come_with_pip_and_with_colcon():
    config = ConfigParser()
    config.optionxform = str
    config.read(ROOT / "training" / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    assert dict(re.split(r"\s*=\s*", line) for line in lines) == PROJECT["scripts"]


def test_every_command_that_documents_name_is_installed():
    named = set()
    for text in (ROOT / "README.md", ROOT / "Makefile", *ROOT.glob("docs/*.md")):
        named |= set(re.findall(r"(?<![\w/.#-])ipt(?:-[a-z]+)+(?![\w-])", text.read_text()))
    shipped = {"ipt-tiny", "ipt-tiny-finer", "ipt-tiny-untrained"}
    commands = named - {*shipped, *style_names()}
    assert len(commands) > 5
    assert commands - set(PROJECT["scripts"]) == set()
    folder = ROOT / "install" / "imaginative_perception" / "bin"
    if not folder.is_dir():
        pytest.skip("not built by colcon in this folder")
    assert commands | {"ipt"} <= {file.name for file in folder.iterdir()}


#: A machine on which only inference was installed.
WITHOUT_EXTRAS = """
import sys
for name in ("accelerate", "open3d", "peft", "pyarrow", "rich", "scipy", "tensorboard"):
    sys.modules[name] = None
from importlib import import_module
module, name = sys.argv[1].split(":")
sys.argv = [name, "--help"]
sys.exit(getattr(import_module(module), name)())
"""


@pytest.mark.parametrize("command", PROJECT["scripts"].values(), ids=PROJECT["scripts"])
def test_without_the_extras_a_command_helps_or_names_what_is_missing(command):
    run = [sys.executable, "-c", WITHOUT_EXTRAS, command]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        assert done.stdout.startswith("usage:")
    else:
        assert done.stderr.count("\n") == 1
        assert "is not installed, and training needs it: pip install '.[train]'" in done.stderr


#: A robot on which the simulator was not installed.
WITHOUT_OPEN3D = """
import sys
sys.modules["open3d"] = None
from ipt_ros.sim_node import main
sys.exit(main())
"""


def test_without_open3d_the_simulator_says_what_to_install(ros_domain):
    pytest.importorskip("rclpy")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPEN3D], capture_output=True, text=True, timeout=120,
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "requirements/simulator.txt" in done.stderr


# -- the plug-ins of an installed ROS -------------------------------------------------------------


@pytest.mark.parametrize("name", ["launch_testing", "launch_ros", "launch_pytest"])
def test_pytest_starts_beside_the_plug_ins_of_ros(tmp_path, name):
    """They ask for hooks that newer releases of pytest do not have."""
    (tmp_path / "plugin_of_ros.py").write_text("def pytest_no_such_hook(): pass\n")
    info = tmp_path / "of_ros-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of-ros\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = plugin_of_ros\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = [sys.executable, "-m", "pytest", "--co", "-q", "tests/ros/senses/test_poses.py"]
    done = subprocess.run(
        run, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# -- which Python ---------------------------------------------------------------------------------


def chosen_python(tmp_path, pythons, **variables):
    """What scripts/python.sh prints where the path has these Pythons. Each is a text that it
    exits 0 for when its check contains it.
    """
    for name, does in pythons.items():
        file = tmp_path / name
        file.write_text(f'#!/bin/bash\n[[ "$2" == *"{does}"* ]]\n')
        file.chmod(0o755)
    plain = {k: v for k, v in os.environ.items() if k not in ("ROS_DISTRO", "IPT_ROS_FROM_WHEELS")}
    env = {**plain, "PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHON": "", **variables}
    run = ["bash", "scripts/python.sh"]
    return subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_a_sourced_ros_has_the_python_that_imports_its_rclpy(tmp_path):
    pythons = {"python3": "no rclpy here", "python3.12": "import sys, rclpy"}
    done = chosen_python(tmp_path, pythons, ROS_DISTRO="jazzy")
    assert done.stdout.strip() == str(tmp_path / "python3.12")


def test_ros_from_wheels_has_the_first_python_that_wheels_exist_for(tmp_path):
    pythons = {"python3": "too new", "python3.12": "(3, 12)", "python3.11": "(3, 12)"}
    assert chosen_python(tmp_path, pythons).stdout.strip() == str(tmp_path / "python3.12")


def test_a_python_that_was_named_is_taken_or_refused(tmp_path):
    pythons = {"mine": "(3, 12)", "python3": "(3, 12)", "old": "never"}
    done = chosen_python(tmp_path, pythons, PYTHON=str(tmp_path / "mine"))
    assert done.stdout.strip() == str(tmp_path / "mine")
    done = chosen_python(tmp_path, pythons, PYTHON=str(tmp_path / "old"))
    assert done.returncode == 1 and done.stdout == ""
    assert "needs Python 3.10, 3.11 or 3.12; tried" in done.stderr
    done = chosen_python(tmp_path, pythons, PYTHON=str(tmp_path / "old"), ROS_DISTRO="jazzy")
    assert "can import rclpy of ROS jazzy" in done.stderr

"""The plan of the house holds: imports point one way, files stay readable, links lead home."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Room, and what must not be imported there.
FORBIDDEN = {
    "ipt_model": ("ipt_training", "ipt_ros", "rclpy", "imaginative_perception", "training"),
    "training": ("ipt_ros", "rclpy", "imaginative_perception", "training"),
}
#: Parts of ipt_ros that know the simulated world; the robot's own nodes do not.
WORLDLY = ("sim", "demo", "observed_map")


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_point_one_way(room):
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imported(path) & set(FORBIDDEN[room])
    }
    assert not found
    assert len(sources(room)) > 10  # the rule looked at something


def test_the_robots_nodes_know_the_model_only():
    found = [
        path.relative_to(ROOT)
        for path in sources("ipt_ros")
        if not path.relative_to(ROOT / "ipt_ros").parts[0].startswith(WORLDLY)
        and "ipt_training" in imported(path)
    ]
    assert not found


def test_files_stay_readable():
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for room in ("ipt_model", "training", "ipt_ros", "launch", "benchmarks", "tests")
        for path in sources(room)
    }
    assert not {path: n for path, n in lengths.items() if n > 600}
    ours = sorted(n for path, n in lengths.items() if path.parts[0] != "tests")
    assert ours[len(ours) // 2] < 200
    assert lengths[Path("ipt_ros/ipt_node.py")] < 300
    assert lengths[Path("ipt_ros/sim_node.py")] < 300


def test_versions_agree():
    package = ElementTree.parse(ROOT / "package.xml").findtext("version")
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None and package == project[1]
    assert f"\n{package} " in (ROOT / "CHANGELOG.rst").read_text()


def test_every_field_of_an_interface_is_explained():
    """A comment behind each field; the frame or unit is in it where there is one."""
    bare = []
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"), *ROOT.glob("action/*.action")]:
        for line in path.read_text().splitlines():
            field = line.split("#")[0].strip()
            known = (
                "std_msgs/Header",
                "StageTimes",
                "Provenance",
                "SpatialAnswer",
                "ImaginedView",
            )
            plain = field and field != "---" and "=" not in field and "#" not in line
            if plain and not field.startswith((*known, "PathVerdict", "string question")):
                bare.append(f"{path.name}: {field}")
    assert not bare


def test_links_in_the_documents_lead_somewhere():
    lost = []
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                lost.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not lost


def test_every_measured_number_has_its_json():
    """What a document points to in benchmarks/results exists."""
    named = {
        name
        for page in ROOT.glob("docs/*.md")
        for name in re.findall(r"benchmarks/results/[\w.-]+\.json", page.read_text())
    }
    assert not {name for name in named if not (ROOT / name).exists()}

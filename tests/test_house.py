"""The plan of the house holds: imports point one way, rooms stay small, links lead home."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Floor, and what must not be imported there.
FORBIDDEN = {
    "ipt_model": ("ipt_training", "ipt_ros", "rclpy", "imaginative_perception", "training"),
    "training": ("ipt_ros", "rclpy", "imaginative_perception", "training"),
}
#: Each room, and the rooms of its floor that it may import from. A module that lies beside the
#: rooms is a room of its own. Every row names only rows above it, so there are no circles.
MAY_IMPORT = {
    "ipt_model": {
        "tags": "",
        "spatial": "",
        "messages": "",
        "question": "tags spatial",
        "network": "tags question",
        "wording": "tags spatial question",
        "inference": "question network wording",
        "weights": "spatial question network wording inference",
        "asking": "spatial question network wording inference weights",
        "__init__": "question asking",
        "__main__": "question asking weights",
    },
    "ipt_ros": {
        "texts": "",
        "starting": "",
        "errors": "texts",
        "conversions": "errors",
        "diagnostics": "texts errors",
        "reports": "texts errors diagnostics",
        "spinning": "",
        "yielding_threads": "",
        "one_math_thread": "",
        "client": "errors conversions",
        "parameters": "errors",
        "run": "texts errors spinning parameters",
        "senses": "errors conversions diagnostics reports spinning parameters",
        "answering": "texts errors conversions reports spinning parameters senses",
        "actions": "texts errors conversions reports spinning parameters senses answering",
        "mask": "errors conversions diagnostics reports spinning parameters senses answering",
        "self_scoring": "errors conversions diagnostics reports parameters senses answering",
        "simulator": "errors conversions parameters senses",
        "ipt_node": "errors diagnostics reports run yielding_threads parameters senses "
        "answering actions mask self_scoring",
        "sim_node": "errors conversions run one_math_thread parameters senses simulator",
        "cli": "starting errors conversions client parameters senses",
        "demo": "starting errors conversions client parameters senses answering mask",
        "evaluation": "texts starting errors conversions one_math_thread client parameters run "
        "senses answering demo",
        "navigation": "starting spinning yielding_threads one_math_thread client conversions "
        "parameters senses mask ipt_node sim_node demo",
    },
    "training": {
        "progress": "",
        "processes": "",
        "folder_lock": "",
        "example": "",
        "scenes": "",
        "houses": "scenes",
        "rendering": "scenes",
        "worlds": "scenes houses rendering",
        "tasks": "example scenes houses rendering",
        "datasets": "example progress processes folder_lock scenes houses rendering tasks",
        "audits": "example scenes datasets",
        "recipe": "datasets",
        "feed": "example scenes datasets tasks recipe",
        "filling": "example",
        "bags": "example processes folder_lock datasets tasks",
        "evaluation": "example datasets tasks",
        "finetune": "example progress processes scenes houses rendering tasks datasets recipe "
        "feed evaluation",
        "shell": "processes folder_lock recipe evaluation finetune",
        "commands": "example progress processes folder_lock scenes houses worlds tasks datasets "
        "audits bags recipe feed evaluation finetune shell",
    },
}
#: Parts of ipt_ros that know the simulated world; the robot's own nodes do not.
WORLDLY = ("sim", "demo", "evaluation", "navigation")


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


def rooms_imported(path: Path, floor: str) -> set[str]:
    """Rooms of its own floor that a file imports from, its own room left out."""
    package = {"training": "ipt_training"}.get(floor, floor)
    inside = (package, *path.relative_to(ROOT / floor).parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names += [f"{module}.{alias.name}" for alias in node.names]
    found = {n.split(".")[1] for n in names if n.startswith(package + ".")}
    return {n for n in found if n in MAY_IMPORT[floor]} - {room_of(path, floor)}


def room_of(path: Path, floor: str) -> str:
    return path.relative_to(ROOT / floor).with_suffix("").parts[0]


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_imports_point_one_way(floor):
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(floor)
        for name in imported(path) & set(FORBIDDEN[floor])
    }
    assert not found
    assert len(sources(floor)) > 10  # the rule looked at something


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_arrows_between_rooms_point_down(floor):
    table = {room: set(names.split()) for room, names in MAY_IMPORT[floor].items()}
    rows = list(table)
    assert not {r for n, r in enumerate(rows) if table[r] - set(rows[:n])}  # no circles
    rooms = {room_of(path, floor) for path in sources(floor)} - {"__init__"}
    assert rooms == set(rows) - {"__init__"}, "every room has its row, every row its room"
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(floor)
        for name in rooms_imported(path, floor) - table.get(room_of(path, floor), set())
    }
    assert not found


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_rooms_are_small_and_say_what_they_are_for(floor):
    folders = {path.parent for path in sources(floor)}
    crowded = {f.relative_to(ROOT): len(list(f.glob("*.py"))) for f in folders}
    assert not {f: n for f, n in crowded.items() if n > 13}  # twelve modules and __init__
    silent = [
        f.relative_to(ROOT)
        for f in folders
        if not ast.get_docstring(ast.parse((f / "__init__.py").read_text()))
    ]
    assert not silent


def test_the_robots_nodes_know_the_model_only():
    found = [
        path.relative_to(ROOT)
        for path in sources("ipt_ros")
        if not room_of(path, "ipt_ros").startswith(WORLDLY) and "ipt_training" in imported(path)
    ]
    assert not found


def test_files_stay_readable():
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for room in ("ipt_model", "training", "ipt_ros", "launch", "benchmarks", "tests")
        for path in sources(room)
    }
    assert not {path: n for path, n in lengths.items() if n > 600}
    assert not {path: n for path, n in lengths.items() if n > 400 and path.parts[0] != "tests"}
    ours = sorted(n for path, n in lengths.items() if path.parts[0] != "tests")
    assert ours[len(ours) // 2] < 180
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

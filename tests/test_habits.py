"""What a newcomer is told is true: CONTRIBUTING, the forge's files and the editor's settings."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(path: Path) -> dict[Any, Any]:
    data = yaml.safe_load(path.read_text())
    assert isinstance(data, dict)
    return data


def scripts() -> list[str]:
    jobs = [job for path in WORKFLOWS for job in load(path)["jobs"].values()]
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_guide_fits_a_page_and_its_targets_are_there() -> None:
    assert len(GUIDE.splitlines()) < 90
    assert set(re.findall(r"\bmake ([a-z-]+)", GUIDE)) <= TARGETS


def test_files_that_the_guide_names_are_there() -> None:
    named = [n for n in re.findall(r"`([\w./-]+/[\w./-]*)`", GUIDE) if "NAME" not in n]
    assert len(named) > 25
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ipt_model/inference/flow.py", "draw"),
        ("ipt_model/wording/rows.py", "encode_shard"),
        ("training/tasks/perspective.py", "sample"),
        ("ipt_ros/mask/imagined_space.py", "expire"),
        ("ipt_ros/ipt_node.py", "ACTIONS"),
    ],
)
def test_names_in_the_guide_stand_where_it_says(path: str, name: str) -> None:
    assert name in GUIDE and path in GUIDE
    pattern = rf"^\s*(def {name}\(|{name} = )"
    assert re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)


def test_workflows_are_of_the_forms_that_the_forge_reads() -> None:
    assert WORKFLOWS
    for path in WORKFLOWS:
        workflow = load(path)
        assert {"name", "jobs"} <= set(workflow)
        assert "pull_request" in workflow[True]  # YAML 1.1 takes the key `on` for yes
        for job in workflow["jobs"].values():
            assert {"runs-on", "steps", "timeout-minutes"} <= set(job)
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    distros = load(ROOT / ".github/workflows/ci.yml")["jobs"]["ros"]["strategy"]["matrix"]
    assert distros == {"distro": ["jazzy", "lyrical"]}


def test_workflows_call_what_there_is() -> None:
    for script in scripts():
        plain = re.sub(r"\$\{\{[^}]*\}\}", "value", script)
        subprocess.run(["bash", "-n"], input=plain, text=True, check=True)
        assert set(re.findall(r"\bmake ([a-z-]+)", script)) <= TARGETS
        for file in re.findall(r"(?:requirements|scripts)/[\w.-]+", script):
            assert (ROOT / file).is_file(), file
    assert any("make lint" in s for s in scripts()) and any("pytest tests" in s for s in scripts())


def test_issue_forms_have_what_the_forge_asks_for() -> None:
    forms = [load(path) for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")]
    assert len(forms) >= 2
    for form in forms:
        assert {"name", "description", "body"} == set(form)
        for part in form["body"]:
            assert part["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
            text = "value" if part["type"] == "markdown" else "label"
            assert part["attributes"][text].strip()


def test_the_editor_and_the_linter_agree() -> None:
    text = (ROOT / ".editorconfig").read_text()
    editor = configparser.ConfigParser()
    editor.read_string("[top]\n" + text)
    ruff = re.search(r"^line-length = (\d+)", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert ruff is not None and editor["*.py"]["max_line_length"] == ruff[1]
    assert editor["Makefile"]["indent_style"] == "tab"

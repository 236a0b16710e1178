"""What the pages tell people to type can be typed, and what is made from elsewhere is current.

Commands are taken from the pages and read by the programs' own parsers. Nothing is run.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from ipt_model.weights import DEFAULT_MODEL
from ipt_model.weights.loading import find_folder, hash_folder
from ipt_model.weights.styles import style_names
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.sim_node import SIM_PARAMETERS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
PARAMETERS = {row.name for row in (*IPT_PARAMETERS, *SIM_PARAMETERS)}
#: Programs that no parser of ours reads, and why.
FOREIGN = {
    "apt": "the system's own",
    "cd": "the shell's own",
    "colcon": "needs an installed ROS and a workspace",
    "export": "the shell's own",
    "git": "its address depends on where the package is published",
    "huggingface-cli": "downloads gigabytes",
    "mkdir": "the shell's own",
    "pip": "would ask a package registry; the files it names are looked up here",
    "pre-commit": "a developers' tool that is not installed for tests",
    "ros2": "needs an installed ROS; names of launch files, arguments and actions are looked up",
    "rosdep": "needs an installed ROS and its package index",
}
#: What `source` reads that only a build makes.
BUILT = {"install/setup.bash"}


class Parsed(BaseException):
    """The parser took the arguments. Not an Exception: nobody in between may catch it."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Every command of a page's bash blocks, as words, assignments before it left out."""
    found = []
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            part: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word != "&&":
                    part.append(word)
                elif part:
                    found.append(part)
                    part = []
    return found


COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


def told(words: list[str]) -> str:
    return " ".join(words)[:70]


def check_make(words: list[str]) -> None:
    for word in words[1:]:
        name, assigned, _ = word.partition("=")
        pattern = rf"\$\({name}\)" if assigned else rf"^{name}:"
        assert re.search(pattern, MAKEFILE, re.MULTILINE), f"the Makefile has no {name}"


def check_file(words: list[str]) -> None:
    (path,) = words[1:]
    assert path in BUILT or (ROOT / path).is_file()


def check_ros2(words: list[str]) -> None:
    """Of our launch files the arguments, of our actions the names and the goal's fields."""
    if words[1:3] == ["launch", "imaginative_perception"]:
        base = ROOT / "ipt_ros" / "parameters" / "launch_nodes.py"
        text = (ROOT / "launch" / words[3]).read_text() + base.read_text()
        declared = PARAMETERS | set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', text))
        declared |= set(re.findall(r'"(\w+_topic)": \(', text))
        assert {word.partition(":=")[0] for word in words[4:]} <= declared
    if words[1:3] == ["action", "send_goal"]:
        name, kind, goal = [word for word in words[3:] if not word.startswith("--")]
        snake = re.sub(r"(?<!^)([A-Z])", r"_\1", kind.rpartition("/")[2]).lower()
        assert name == f"/ipt_node/{snake}"
        text = (ROOT / "action" / f"{kind.rpartition('/')[2]}.action").read_text()
        fields = re.findall(r"^[\w/\[\]]+ (\w+)", text.partition("\n---\n")[0], re.MULTILINE)
        assert set(yaml.safe_load(goal)) <= set(fields)


def parsed_by(run: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets as far as its parser, and the parser takes the arguments."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: Any, args: Any = None, namespace: Any = None) -> NoReturn:
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(Parsed):
        run()


def check_installed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that pip or colcon installs."""
    scripts = (ROOT / "pyproject.toml").read_text() + (ROOT / "ipt_ros" / "setup.cfg").read_text()
    entry = re.search(rf'^\s*{words[0]} = "?([\w.]+):(\w+)', scripts, re.MULTILINE)
    assert entry is not None, f"{words[0]} is not installed by anything"
    function = getattr(importlib.import_module(entry[1]), entry[2])
    parsed_by(function, words, monkeypatch)


def check_python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python FILE ...` or `python -m MODULE ...`; one without a parser takes no options."""
    if words[1] != "-m":
        path = ROOT / words[1]
        assert path.is_file(), f"there is no {words[1]}"
        if "argparse" not in path.read_text():
            assert not [word for word in words[2:] if word.startswith("-")]
            return
        monkeypatch.syspath_prepend(str(path.parent))
        parsed_by(lambda: runpy.run_path(str(path), run_name="__main__"), words[1:], monkeypatch)
    elif words[2] != "pytest":  # not a parser of ours
        spec = importlib.util.find_spec(words[2])
        assert spec is not None, f"there is no {words[2]}"
        name = f"{words[2]}.__main__" if spec.submodule_search_locations else words[2]
        parsed_by(importlib.import_module(name).main, words[2:], monkeypatch)


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 40
    programs = {words[0] for _, words in COMMANDS}
    assert {"make", "ipt", "ipt-train", "python", "ros2"} <= programs
    assert all(reason for reason in FOREIGN.values())


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda v: v if isinstance(v, str) else told(v)
)
def test_a_command_can_be_typed(
    page: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = words[0]
    for word in words:
        named = re.fullmatch(
            r"(?:src/imaginative_perception/)?((?:config|requirements|scripts|benchmarks|tests)/.+)",
            word,
        )
        assert named is None or (ROOT / named[1]).exists(), f"{word} is not there"
    if program == "make":
        check_make(words)
    elif program in (".", "source"):
        check_file(words)
    elif program == "ros2":
        check_ros2(words)
    elif program == "torchrun":
        check_python(["python", *words[words.index("-m") :]], monkeypatch)
    elif program == "python":
        check_python(words, monkeypatch)
    elif re.fullmatch("ipt(-[a-z-]+)?", program):
        check_installed(words, monkeypatch)
    else:
        assert program in FOREIGN, f"{page}: who knows whether `{' '.join(words)}` works?"


@pytest.mark.parametrize(
    "words",
    [
        ["make", "tests"],
        ["make", "demo", "DEMO_ARG=1"],
        ["ipt", "ask"],
        ["ipt", "imagine", "--turns", "30"],
        ["ipt-study", "--size", "huge"],
        ["ipt-learn"],
        ["python", "-m", "ipt_model", "--picture", "a.png"],
        ["python", "benchmarks/no_such.py"],
        [".", "scripts/no_such.sh"],
        ["ros2", "launch", "imaginative_perception", "robot.launch.py", "picture_topic:=/a"],
        ["ros2", "action", "send_goal", "/ipt_node/ask", "pkg/action/AskSpatial", "{question: a}"],
        ["brew", "install", "ros"],
    ],
    ids=told,
)
def test_a_wrong_command_is_found(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, SystemExit)):
        test_a_command_can_be_typed("a page", words, monkeypatch)


def test_programs_named_in_sentences_are_there() -> None:
    """Inline code that begins like a command; its options may be left out there."""
    lost = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            if made := re.match(r"make ([a-z-]+)", code):
                there = re.search(rf"^{made[1]}:", MAKEFILE, re.MULTILINE) is not None
            elif module := re.match(r"python -m ([\w.]+)", code):
                there = importlib.util.find_spec(module[1]) is not None
            elif script := re.match(r"python ([\w./]+\.py)", code):
                there = (ROOT / script[1]).is_file()
            elif program := re.match(r"(ipt-[a-z-]+)(?= |$)", code):
                text_of = (ROOT / "pyproject.toml").read_text()
                shipped = (ROOT / "ipt_model" / "weights").glob("ipt*")
                names = {path.name.replace("_", "-") for path in shipped} | {"ipt-tiny-untrained"}
                names |= set(style_names())
                there = f"\n{program[1]} = " in text_of or program[1] in names
            else:
                continue
            if not there:
                lost.append(f"{page.name}: {code}")
    assert not lost


def test_files_named_in_sentences_are_there() -> None:
    named = (
        r"`((?:ipt_model|ipt_ros|training|tests|benchmarks|config|scripts|launch)/[\w./-]+\.\w+)`"
    )
    lost = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in re.findall(named, page.read_text())
        if "NAME" not in name and not (ROOT / name).exists()
    }
    assert not lost


def test_links_into_a_page_find_their_heading() -> None:
    lost = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            text = ((page.parent / target) if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            if anchor not in anchors:
                lost.append(f"{page.name} -> {target}#{anchor}")
    assert not lost


def test_imports_in_examples_are_there() -> None:
    examples = [block for page in PAGES for block in blocks(page, "python")]
    assert examples
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_parameters_in_examples_are_there_and_allowed() -> None:
    table = {row.name: row for row in IPT_PARAMETERS}
    seen = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            for node, content in yaml.safe_load(block).items():
                if node.endswith("ipt_node"):
                    for name, value in content["ros__parameters"].items():
                        table[name].check(value)
                        seen += 1
    assert seen > 5


def test_names_on_the_page_for_a_first_robot_stand_in_the_code() -> None:
    folders = ("ipt_ros/**/*.py", "launch/*.py", "msg/*", "action/*", "config/*")
    code = "\n".join(p.read_text() for f in folders for p in ROOT.glob(f) if p.is_file())
    text = (ROOT / "docs" / "first_robot.md").read_text()
    words = {w for c in re.findall(r"`([^`\n]+)`", text) for w in re.findall(r"[a-z]+_\w+", c)}
    outside = {"align_depth", "my_robot"}  # RealSense's; the reader's own file
    assert len(words) > 20
    assert not {word for word in words - outside if not re.search(rf"\b{word}\b", code)}


def test_every_page_is_in_the_index_with_a_line() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    lines = dict(re.findall(r"^- \[([\w.]+)\]\(\1\): (.+)$", index, re.MULTILINE))
    assert set(lines) == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert "docs/index.md" in (ROOT / "README.md").read_text()


def between(page: Path, name: str) -> str:
    _, _, rest = page.read_text().partition(f"<!-- {name}: begin -->\n")
    return rest.partition(f"\n<!-- {name}: end -->")[0]


def test_the_table_of_what_works_is_the_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    what_works = importlib.import_module("what_works")
    results = json.loads(what_works.RESULTS.read_text())
    expected = what_works.table(results)
    assert between(ROOT / "README.md", "works") == expected, "run: python benchmarks/what_works.py"
    tasks = set(re.findall(r"^\| (\w+): ", expected, re.MULTILINE))
    assert tasks == set(results["tasks"])
    for figures in re.findall(r"\((\d+\.\d)–(\d+\.\d)\)", expected):
        assert float(figures[0]) < float(figures[1])


def test_the_shipped_models_are_compared_by_what_was_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made = importlib.import_module("finer_patches")
    told = "run: python benchmarks/finer_patches.py"
    assert between(made.PAGE, "finer patches") == made.table(made.RESULTS), told


def test_what_the_evaluation_found_is_what_its_json_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made = importlib.import_module("evaluate_page")
    page = tmp_path / "page.md"
    page.write_bytes(made.PAGE.read_bytes())
    monkeypatch.setattr(made, "PAGE", page)
    made.main([])
    told = "run: python benchmarks/evaluate_page.py"
    assert page.read_bytes() == (ROOT / "docs" / "simulation.md").read_bytes(), told
    found = json.loads(made.RESULTS.read_text())
    text = between(page, "evaluated")
    rows = re.findall(r"^\| (\w+) \| all \| (\d+) \|", text, re.MULTILINE)
    assert dict(rows) == {task: str(of["n"]) for task, of in found["tasks"].items()}
    assert {"latency_s", "map", "calibration", "measured_on"} <= set(found)


def test_what_is_said_of_auto_is_what_the_shipped_model_does() -> None:
    style = json.loads((find_folder(DEFAULT_MODEL) / "ipt.json").read_text())
    orders = [*style["auto_by_task"].values(), *style["auto_remembering"].values()]
    assert {modes[0] for modes in orders} == {"answer"}
    page = " ".join((ROOT / "README.md").read_text().split())
    for task, share in style["recall_above"].items():
        assert f"{task} {100 * share:.0f} %" in page
    assert "and answers at once in all others" in page


def test_the_card_says_what_one_turn_is_worth_to_these_very_weights() -> None:
    folder = find_folder(DEFAULT_MODEL)
    record = json.loads((ROOT / "benchmarks" / "results" / "turned_once.json").read_text())
    assert record["model"] == hash_folder(folder), "run: python benchmarks/turned_once.py"
    begin, end = "<!-- turned once: begin -->", "<!-- turned once: end -->"
    card, page = (
        path.read_text().split(begin)[1].split(end)[0]
        for path in (folder / "README.md", ROOT / "docs" / "memory.md")
    )
    assert card == page
    for name, one in record["asked"].items():
        for mode in ("answer", "imagine", "recall", "given"):
            assert re.search(rf"{re.escape(name)} .*{100 * one[mode]['share']:.1f} \(", card)


def test_the_page_of_messages_is_that_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    made = importlib.import_module("messages_page")
    page = made.PAGE.read_text()
    assert page == made.page(), "run: python scripts/messages_page.py"
    for path in [*ROOT.glob("msg/*"), *ROOT.glob("srv/*"), *ROOT.glob("action/*")]:
        assert f"\n## {path.stem}\n" in page
        for field in re.findall(r"^[\w/\[\]]+ +(\w+)", path.read_text(), re.MULTILINE):
            assert f"| `{field}` |" in page, f"{path.name}: {field}"

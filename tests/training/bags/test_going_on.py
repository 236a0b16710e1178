"""A conversion that was killed, stopped or had no room goes on to the same bytes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import write_bag

from ipt_training.bags import converting
from ipt_training.commands.bag import main
from ipt_training.datasets.parquet import Dataset

pytestmark = pytest.mark.slow(60)

#: The command in a process of its own with windows of 5 frames. It tells which windows it mines,
#: and kills itself before file number KILL_AT is put in its place.
COMMAND = """
import os, signal, sys
from ipt_training.bags import converting
from ipt_training.commands.bag import main
converting.WINDOW = 5
mine, replace, left = converting.mine, os.replace, int(os.environ.get("KILL_AT", "-1"))
def told(window, *more):
    print("mined", window[0].stamp_ns, flush=True)
    return mine(window, *more)
def counted(*paths):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
converting.mine, os.replace = told, counted
raise SystemExit(main(sys.argv[1:]))
"""


#: One kind of questions is enough here.
KINDS = ("--tasks", "perspective")


def run(bag: Path, out: Path, kill_at: int = -1) -> tuple[int, list[str]]:
    """(exit code, windows that were mined)"""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "convert", str(bag), "--out", str(out), *KINDS],
        env={**os.environ, "KILL_AT": str(kill_at)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    mined = [line for line in done.stdout.splitlines() if line.startswith("mined")]
    return done.returncode, mined


def files(out: Path) -> dict[str, bytes]:
    """What is left in a folder, but for the page to look at."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in (".lock", "look.html")
    }


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "drive")


@pytest.fixture(scope="module")
def whole(bag: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("whole")
    code, mined = run(bag, out)
    assert code == 0 and len(mined) == 5
    return files(out), mined


# the second state, a part after it, the end of reading, the second file moved in, the manifest
@pytest.mark.parametrize("kill_at", [4, 7, 14, 17])
def test_a_killed_conversion_goes_on_to_the_same_bytes(tmp_path, bag, whole, kill_at) -> None:
    wanted, every = whole
    code, first = run(bag, tmp_path, kill_at)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "manifest.json").exists()
    code, second = run(bag, tmp_path)
    assert code == 0
    assert files(tmp_path) == wanted, (
        "nothing else is left, the states and temporary files neither"
    )
    assert sorted({*first, *second}) == every
    assert len(first) + len(second) <= len(every) + 1, "at most the window under way is done twice"
    assert run(bag, tmp_path)[1] == []


def test_rows_are_numbered_through_all_parts(bag, whole, tmp_path) -> None:
    assert run(bag, tmp_path)[0] == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())["drive"]
    assert len([p for p in manifest["parts"] if p.startswith("train/")]) > 1
    for split, count in manifest["rows"].items():
        if count:
            numbers = [row.own["example_index"] for row in Dataset(tmp_path / split)]
            assert numbers == list(range(count))


def test_a_state_of_other_options_or_damaged_parts_are_not_gone_on_from(
    tmp_path, bag, whole
) -> None:
    wanted, every = whole
    assert run(bag, tmp_path, 7)[0] == -signal.SIGKILL
    folder = tmp_path / ".parts" / "drive"
    counted = json.loads((folder / "state.json").read_text())["parts"]
    part = folder / next(iter(counted)).replace("/", ".")
    part.write_bytes(part.read_bytes()[:-1])
    code, mined = run(bag, tmp_path)
    assert code == 0 and mined == every and files(tmp_path) == wanted
    assert run(bag, tmp_path / "limit", 7)[0] == -signal.SIGKILL
    # whole windows of 240 are another plan
    assert main(["convert", str(bag), *KINDS, "--out", str(tmp_path / "limit")]) == 0
    assert not (tmp_path / "limit" / ".parts").exists()
    manifest = json.loads((tmp_path / "limit" / "manifest.json").read_text())["drive"]
    assert all(name.endswith(".00000.parquet") for name in manifest["parts"])


def test_other_options_replace_the_files_of_before(tmp_path, bag, monkeypatch) -> None:
    monkeypatch.setattr(converting, "WINDOW", 5)
    convert = ["convert", str(bag), *KINDS, "--out", str(tmp_path)]
    assert main(convert) == 0
    before = files(tmp_path)
    assert main([*convert, "--limit", "7"]) == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())["drive"]
    assert manifest["frames"] == 7
    there = {name for name in files(tmp_path) if name.endswith(".parquet")}
    assert there == set(manifest["parts"]) < set(before)
    next(tmp_path.glob("train/*.parquet")).unlink()
    assert main([*convert, "--limit", "7"]) == 0
    assert there == {name for name in files(tmp_path) if name.endswith(".parquet")}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
def test_ctrl_c_ends_at_once_with_its_code(tmp_path, bag, whole, number, code, more) -> None:
    out = tmp_path / "out"
    twin = tmp_path / "twin"
    twin.symlink_to(bag, target_is_directory=True)
    slow = COMMAND.replace("return mine", "import time; time.sleep(60); return mine")
    # workers import the command anew: there it is the state file that tells that work began
    arguments = ["convert", str(bag), str(twin), "--out", str(out), *more]
    if more:
        slow = "import sys; from ipt_training.commands.bag import main\n"
        slow += "if __name__ == '__main__': raise SystemExit(main(sys.argv[1:]))"
    script = tmp_path / "command.py"
    script.write_text(slow)
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        if more:
            while not (out / ".lock").exists():
                assert process.poll() is None
                time.sleep(0.05)
        else:
            assert process.stdout.readline().startswith("mined")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said and said.strip().endswith("ipt-bag: stopped")


def test_a_full_disk_is_one_sentence_and_the_rest_goes_on(
    tmp_path, bag, whole, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(converting, "WINDOW", 5)
    fsync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["convert", str(bag), *KINDS, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0 and "the disk is full" in said and "Traceback" not in said
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.glob("*/*.parquet"))
    monkeypatch.setattr(os, "fsync", fsync)
    assert main(["convert", str(bag), *KINDS, "--out", str(tmp_path)]) == 0
    assert files(tmp_path) == whole[0]

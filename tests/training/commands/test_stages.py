"""Stages: what counts as done, and that no command is left behind, however a stage ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipt_training.shell.stages import Command, Stage, StageError, run

WAIT_S = 120.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def stage(*commands: Command, **more: object) -> Stage:
    return Stage("one", "what it does", ("out/a", "out/b"), commands, **more)  # type: ignore[arg-type]


def test_a_stage_is_done_when_all_it_writes_is_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    assert not stage().done(tmp_path)
    (tmp_path / "out" / "b").touch()
    assert stage().done(tmp_path)
    assert not stage(as_asked=lambda folder: False).done(tmp_path)


def test_a_stage_is_not_done_when_it_was_made_from_something_older(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name, stamp in (("out/a", 20), ("out/b", 30), ("source", 10)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (stamp, stamp))
    assert stage(after="source").done(tmp_path)
    os.utime(tmp_path / "source", (25, 25))
    assert not stage(after="source").done(tmp_path)
    assert not stage(after="nothing").done(tmp_path)


def test_commands_run_together_in_the_folder(tmp_path: Path) -> None:
    """Each waits for the other, so one after the other would never end."""
    (tmp_path / "meet.py").write_text(
        "import os, sys, time\n"
        "mine, other = sys.argv[1:]\n"
        "open(mine, 'w').write(os.environ['ASKED'])\n"
        "while not os.path.exists(other): time.sleep(0.05)\n"
    )
    both = (Command("meet", ("a", "b")), Command("meet", ("b", "a")))
    run(stage(*both), tmp_path, {"ASKED": "yes"})
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == "yes"


def test_a_failure_names_the_command_and_ends_the_others(tmp_path: Path) -> None:
    (tmp_path / "lasts.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(1000)\n"
    )
    (tmp_path / "fails.py").write_text(
        "import os, time\nwhile not os.path.exists('pid'): time.sleep(0.05)\nraise SystemExit(3)\n"
    )
    commands = (Command("lasts", ()), Command("fails", ("a b",)))
    with pytest.raises(StageError, match=r"one: ended with 3: python -m fails 'a b'"):
        run(stage(*commands), tmp_path)
    assert not alive(int((tmp_path / "pid").read_text() or 0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_heard_once_by_the_command_which_may_save(tmp_path: Path, number: int) -> None:
    """As at a terminal, where the signal goes to the whole group of the command."""
    (tmp_path / "saves.py").write_text(
        textwrap.dedent("""\
        import signal, subprocess, sys, time
        stay = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(1000)"
        worker = subprocess.Popen([sys.executable, "-c", stay])
        heard = []
        signal.signal(signal.SIGINT, lambda *_: heard.append(1))
        open("worker", "w").write(str(worker.pid))
        open("ready", "w").close()
        while not heard: time.sleep(0.05)
        time.sleep(0.5)
        open("saved", "w").write(str(len(heard)))
        raise SystemExit(1)
        """)
    )
    driver = textwrap.dedent("""\
        import sys
        from ipt_training.commands.tiny import command as train_tiny
        from ipt_training.shell.stages import Command, Stage
        one = Stage("one", "waits", ("never",), (Command("saves", ()),))
        train_tiny.stages = lambda *_: [one]
        sys.exit(train_tiny.main(["--folder", ".", "--recipes", "."]))
        """)
    process = subprocess.Popen(
        [sys.executable, "-c", driver],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: (tmp_path / "ready").exists())
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number
    assert "one: stopped by SIG" in said and "goes on from here" in said
    assert (tmp_path / "saved").read_text() == "1"
    worker = int((tmp_path / "worker").read_text())
    until(lambda: not alive(worker))

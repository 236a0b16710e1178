"""Many recordings at a time: the same files as one after the other, and what fails is listed."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from recorded import Layout, drive, write_bag

from ipt_training.bags import fleet
from ipt_training.bags.fleet import Failed, Job, run_jobs
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.parts import Conversion
from ipt_training.commands.bag import main
from ipt_training.folder_lock import only_writer

pytestmark = pytest.mark.slow(60)
HAS_RAY = importlib.util.find_spec("ray") is not None


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in (".lock", "look.html")
    }


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two that differ, and one that cannot be used between them."""
    folder = tmp_path_factory.mktemp("bags")
    bad = folder / "bad.mcap"
    bad.write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    return [
        write_bag(folder / "one"),
        bad,
        write_bag(folder / "two.5", Layout(pictures="jpeg"), drive(seed=6)),
    ]


@pytest.fixture(scope="module")
def serial(bags, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("serial")
    assert main(["convert", "--tasks", "perspective", *map(str, bags), "--out", str(out)]) == 1
    found = files(out)
    assert any("two.5." in name for name in found) and not any("bad" in name for name in found)
    return found


def test_processes_give_the_same_files(tmp_path, bags, serial, capsys) -> None:
    run = [
        "convert",
        "--tasks",
        "perspective",
        *map(str, bags),
        "--out",
        str(tmp_path),
        "--workers",
        "2",
    ]
    assert main(run) == 1
    assert files(tmp_path) == serial
    said = capsys.readouterr()
    assert said.err.count("bad.mcap: not used: ") == 1 and "is no recording" in said.err
    assert "one: " in said.out and "two.5: " in said.out


@pytest.mark.skipif(not HAS_RAY, reason="needs the extra 'cluster' (ray)")
def test_a_local_ray_cluster_gives_the_same_files(tmp_path, bags, serial, capsys) -> None:
    run = [
        "convert",
        "--tasks",
        "perspective",
        *map(str, bags),
        "--out",
        str(tmp_path),
        "--ray-address",
        "local",
    ]
    assert main(run) == 1
    assert files(tmp_path) == serial
    assert capsys.readouterr().err.count("bad.mcap: not used: ") == 1
    assert main([*run[:-1], "127.0.0.1:9"]) == 2
    assert "no Ray cluster answers" in capsys.readouterr().err


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_without_ray_the_extra_is_named(tmp_path, bags, capsys) -> None:
    run = [
        "convert",
        "--tasks",
        "perspective",
        str(bags[0]),
        "--out",
        str(tmp_path),
        "--ray-address",
        "local",
    ]
    assert main(run) == 2
    assert "pip install 'imaginative-perception[cluster]'" in capsys.readouterr().err


def jobs(bags: list[Path], out: Path) -> list[Job]:
    return [Job(path.absolute(), out, None, Mining(), limit=4) for path in bags]


def test_a_recording_is_tried_twice(tmp_path, bags, monkeypatch) -> None:
    convert, tried = fleet.convert, []

    def fails_first(path: Path, *given, **more):
        tried.append(path.name)
        if tried.count(path.name) == 1:
            raise fleet.BagError("not now")
        return convert(path, *given, **more)

    monkeypatch.setattr(fleet, "convert", fails_first)
    with only_writer(tmp_path):
        told: list[int] = []
        (_, one), (_, bad) = run_jobs(jobs(bags[:2], tmp_path), told.append)
    assert isinstance(one, Conversion) and one.frames == 4
    assert isinstance(bad, Failed) and tried == ["one", "one", "bad.mcap", "bad.mcap"]
    assert sum(told) == sum(job.size_bytes for job in jobs(bags[:2], tmp_path))


def test_a_killed_worker_is_found_and_the_others_are_not_lost(tmp_path, bags, monkeypatch) -> None:
    monkeypatch.setattr(fleet, "_work", work_or_die)
    with only_writer(tmp_path):
        ended = dict(run_jobs(jobs(bags, tmp_path), lambda more: None, workers=2))
    by_name = {job.path.name: outcome for job, outcome in ended.items()}
    assert isinstance(by_name["one"], Failed) and "killed twice" in by_name["one"].why
    assert isinstance(by_name["two.5"], Conversion)
    assert isinstance(by_name["bad.mcap"], Failed) and "no recording" in by_name["bad.mcap"].why


def work_or_die(job: Job) -> Conversion | Failed:
    """In a worker."""
    if job.path.name == "one":
        os.kill(os.getpid(), signal.SIGKILL)
    return fleet.attempt(job)


def test_a_fault_of_the_program_ends_one_recording_only(
    tmp_path, bags, monkeypatch, capsys
) -> None:
    def faulty(*given, **more):
        raise ZeroDivisionError("here")

    monkeypatch.setattr(fleet, "convert", faulty)
    with only_writer(tmp_path):
        ((_, outcome),) = run_jobs(jobs(bags[:1], tmp_path), lambda more: None)
    assert isinstance(outcome, Failed) and "ZeroDivisionError: here" in outcome.why
    assert "in faulty" in capsys.readouterr().err


def test_two_of_one_name_and_a_folder_that_is_not_shared(tmp_path, bags, capsys) -> None:
    twin = tmp_path / "one"
    twin.symlink_to(bags[0], target_is_directory=True)
    assert (
        main(
            [
                "convert",
                "--tasks",
                "perspective",
                str(bags[0]),
                str(twin),
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "two recordings are called one" in capsys.readouterr().err
    outcome = fleet.attempt(jobs(bags[:1], tmp_path / "elsewhere")[0])
    assert isinstance(outcome, Failed) and "a cluster must share it" in outcome.why

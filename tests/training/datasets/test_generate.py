"""Making datasets: the same bytes from any number of workers, after any interruption, or a clear
refusal.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ipt_model.question import Task
from ipt_training.commands import dataset as cli
from ipt_training.datasets.generate import (
    DatasetMismatchError,
    GenerationError,
    build_shard,
    find_example,
    write_dataset,
)
from ipt_training.datasets.parquet import (
    CorruptShardError,
    Dataset,
    StorageError,
    shard_metadata,
    write_file,
)
from ipt_training.datasets.plan import DatasetPlan, PlanError
from ipt_training.folder_lock import only_writer
from ipt_training.scenes.scene import SceneError
from ipt_training.tasks import TASKS, task_module
from ipt_training.tasks.sampling import Context, Rejections, Wanted

pytestmark = pytest.mark.slow(30)

PLAN = DatasetPlan(
    12, 32, (("perspective", 1.0), ("path", 1.0)), variants=("pose", "map"), shards=3
)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    told: list[int] = []
    summary = write_dataset(PLAN, folder, on_rows=told.append)
    assert sum(told) == summary.rows == 12
    return folder


def test_a_plan_is_balanced_over_everything_it_fixes() -> None:
    plan = DatasetPlan(960, 64, (("perspective", 1.0), ("counting", 2.0)), seed=5)
    slots = plan.slots()
    kinds = [slots[i] for i in range(960)]
    tasks = Counter(task for task, _ in kinds)
    assert tasks == {Task.PERSPECTIVE: 320, Task.COUNTING: 640}
    for task, count in tasks.items():
        module = task_module(task)
        wants = [w for t, w in kinds if t is task]
        block = len(module.VARIANTS) * len(module.SUBCATEGORIES) * module.OPTION_COUNT
        together = Counter((w.variant, w.subcategory, w.answer_position) for w in wants)
        assert len(together) == block
        assert max(together.values()) - min(together.values()) <= 1
        assert count % block in range(block)
    # no long stretch without a task, and no two examples with the same draw
    assert all({t for t, _ in kinds[i : i + 3]} == set(tasks) for i in range(0, len(kinds) - 3, 3))
    assert len({w.draw for _, w in kinds}) == 960
    other = DatasetPlan(960, 64, (("perspective", 1.0), ("counting", 2.0)), seed=6).slots()
    assert sum(other[i] == kinds[i] for i in range(960)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: expected 1 to"),
        ({"size_px": 8}, "size: expected 16 to 2048 pixels, got 8"),
        ({"level": "flat"}, "level: expected one of room, house, got 'flat'"),
        ({"tasks": (("chess", 1.0),)}, "tasks: expected some of perspective, path"),
        ({"tasks": ()}, "tasks: expected some of"),
        ({"tasks": (("path", 0.0),)}, "share must be positive"),
        ({"tasks": (("path", 1.0), ("path", 1.0))}, "each once"),
        ({"variants": ("pose",)}, "path has ego, map, map"),
        ({"shards": 99}, "shards: expected 0"),
        ({"seed": -1}, "seed: expected 0 or more"),
    ],
)
def test_plans_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        DatasetPlan(**{"count": 10, **options})  # type: ignore[arg-type]


def test_a_split_nobody_has_is_refused() -> None:
    with pytest.raises(SceneError, match="split 'dev'"):
        DatasetPlan(10, split="dev")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_houses_come_from_the_split(split: str) -> None:
    from ipt_training.datasets.generate import scene_seeds
    from ipt_training.scenes.splits import split_of

    plan = DatasetPlan(50, split=split)
    seeds = [next(scene_seeds(plan, i)) for i in range(50)]
    assert {split_of(s) for s in seeds} == {split}
    assert len(set(seeds)) > 45


def test_two_workers_make_the_bytes_of_one(made: Path, tmp_path: Path) -> None:
    write_dataset(PLAN, tmp_path, workers=2)
    assert contents(tmp_path) == contents(made)


def test_what_is_written(made: Path) -> None:
    info = json.loads((made / "parquet_info.json").read_text())
    assert list(info) == [f"train-0000{k}-of-00003.parquet" for k in range(3)]
    assert all(entry == {"num_row_groups": 1, "num_rows": 4} for entry in info.values())
    facts = json.loads((made / "dataset.json").read_text())
    assert facts["plan"]["count"] == 12 and facts["plan_digest"] == PLAN.digest()
    assert {task: counts["made"] for task, counts in facts["rejections"].items()} == {
        "path": 6,
        "perspective": 6,
    }
    dataset = Dataset(made)
    assert dataset.column("example_index") == list(range(12))
    assert facts["shards"].keys() == info.keys()


def test_an_interrupted_run_goes_on_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    for name, data in contents(made).items():
        (tmp_path / name).write_bytes(data)
    whole = contents(tmp_path)
    names = sorted(n for n in whole if n.endswith(".parquet"))
    (tmp_path / names[0]).unlink()
    # a write cut off under the final name cannot happen here, but may have come from a copy
    (tmp_path / names[1]).write_bytes(whole[names[1]][:2000])
    (tmp_path / f".{names[0]}.123.tmp").write_bytes(b"half")
    untouched = (tmp_path / names[2]).stat().st_mtime_ns
    told: list[int] = []
    write_dataset(PLAN, tmp_path, on_rows=told.append)
    assert told[0] == 4  # one shard was whole
    assert contents(tmp_path) == whole
    assert (tmp_path / names[2]).stat().st_mtime_ns == untouched


def test_a_shard_that_lost_bytes_inside_is_made_anew(made: Path, tmp_path: Path) -> None:
    """Its footer is whole, so only the digest of the finished dataset tells."""
    whole = contents(made)
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    name = PLAN.shard_name(1)
    broken = bytearray(whole[name])
    broken[1000:1100] = bytes(100)
    (tmp_path / name).write_bytes(bytes(broken))
    told: list[int] = []
    write_dataset(PLAN, tmp_path, on_rows=told.append)
    assert told[0] == 8
    assert contents(tmp_path) == whole
    (tmp_path / "dataset.json").write_bytes(whole["dataset.json"][:50])
    write_dataset(PLAN, tmp_path)
    assert contents(tmp_path) == whole


def under_way(
    out: Path, count: int, workers: int, shards: int, **streams: int
) -> subprocess.Popen[str]:
    """The command, started and with its first shard written."""
    command = [
        sys.executable,
        "-m",
        "ipt_training.commands.dataset",
        *("--count", str(count), "--size", "32", "--tasks", "counting"),
        *("--workers", str(workers), "--shards", str(shards), "--out", str(out)),
    ]
    run = subprocess.Popen(command, text=True, **{"stdout": subprocess.DEVNULL, **streams})
    while not list(out.glob("*.parquet")) and run.poll() is None:
        time.sleep(0.05)
    return run


def test_a_killed_command_leaves_only_whole_shards(tmp_path: Path) -> None:
    run = under_way(tmp_path, 300, 1, 100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=200)[0]
    if run.returncode == 0:
        pytest.skip("the command had finished before the signal reached it")
    assert run.returncode == 130, output
    assert "the same command goes on from here" in output
    before = contents(tmp_path)
    shards = [n for n in before if n.endswith(".parquet")]
    assert 1 <= len(shards) < 100
    for name in shards:
        assert shard_metadata(tmp_path / name)["num_rows"] == "3"
    assert cli.main(run.args[3:]) == 0
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in shards)
    assert len(Dataset(tmp_path)) == 300


#: Its shards take minutes, so whoever waits for one is noticed.
LONG = DatasetPlan(4000, 32, (("counting", 1.0),), shards=2)


def test_an_interrupted_command_does_not_wait_for_its_workers(tmp_path: Path) -> None:
    def interrupt(rows: int) -> None:
        if rows:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        write_dataset(LONG, tmp_path, workers=2, on_rows=interrupt)
    assert time.monotonic() - began < 60
    assert multiprocessing.active_children() == []
    assert not list(tmp_path.glob("*.parquet"))


def test_ctrl_c_ends_a_command_and_all_its_workers_in_words(tmp_path: Path) -> None:
    """A terminal sends it to every process, also to workers that are just starting."""
    command = [sys.executable, "-m", "ipt_training.commands.dataset", "--tasks", "counting"]
    command += ["--count", "4000", "--shards", "2", "--size", "32", "--workers", "2"]
    run = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    workers: list[int] = []
    while not workers and run.poll() is None:
        time.sleep(0.02)
        workers = _workers_of(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    output = run.communicate(timeout=200)[0]
    assert run.returncode == 130 and workers, output
    assert "Traceback" not in output and "the same command goes on from here" in output
    _wait_for_the_end_of(workers)


def test_a_second_writer_is_refused_and_harms_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / ".train-00000-of-00003.parquet.77.tmp"
    with only_writer(tmp_path):
        half.write_bytes(b"half")
        arguments = ["--out", str(tmp_path), "--count", "2", "--size", "32", "--workers", "1"]
        assert cli.main(arguments) == 2
        assert "another command is writing there" in capsys.readouterr().err
        assert half.read_bytes() == b"half"
        in_another = subprocess.run(
            [sys.executable, "-m", "ipt_training.commands.dataset", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert in_another.returncode == 2 and in_another.stderr.count("\n") == 1
        assert half.exists()
    write_dataset(PLAN, tmp_path)
    assert not half.exists()


def test_workers_leave_when_their_command_is_killed(tmp_path: Path) -> None:
    run = under_way(tmp_path, 4000, 2, 400, stderr=subprocess.DEVNULL)
    workers = _workers_of(run.pid)
    assert len(workers) == 2
    run.kill()
    run.wait(timeout=30)
    _wait_for_the_end_of(workers)


def test_a_killed_worker_is_said_in_words(tmp_path: Path) -> None:
    run = under_way(tmp_path, 4000, 2, 400, stderr=subprocess.PIPE)
    os.kill(_workers_of(run.pid)[0], signal.SIGKILL)
    said = run.communicate(timeout=200)[1]
    assert run.returncode == 2, said
    assert "a worker was killed" in said and "Traceback" not in said
    shards = list(tmp_path.glob("*.parquet"))
    assert shards
    assert all(shard_metadata(path)["num_rows"] == "10" for path in shards)


def _wait_for_the_end_of(workers: list[int]) -> None:
    """Dead ones may stay listed until whoever inherited them takes notice."""
    enough = time.monotonic() + 60
    while any(map(_runs, workers)):
        assert time.monotonic() < enough, "they work on"
        time.sleep(0.1)


def _workers_of(parent: int) -> list[int]:
    """Workers of the command; another child of it tracks shared memory."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # processes come and go
            words = stat.read_text().rpartition(")")[2].split()
            if int(words[1]) == parent and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


def _runs(pid: int) -> bool:
    """A process that has ended and waits for its parent has no command line."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


def test_a_folder_of_other_options_is_left_alone(made: Path) -> None:
    before = contents(made)
    for other in (
        DatasetPlan(12, 48, PLAN.tasks, variants=PLAN.variants, shards=3),
        DatasetPlan(12, 32, PLAN.tasks, variants=PLAN.variants, shards=3, seed=1),
        DatasetPlan(12, 32, PLAN.tasks, variants=PLAN.variants, shards=4),
    ):
        with pytest.raises(DatasetMismatchError, match="other options"):
            write_dataset(other, made)
    assert contents(made) == before


def test_foreign_rubbish_among_the_shards_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.parquet").write_bytes(b"not parquet")
    with pytest.raises(CorruptShardError, match=r"notes\.parquet: 11 bytes"):
        write_dataset(PLAN, tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full to fill a disk")
def test_a_full_disk_is_said_and_leaves_what_was_finished(made: Path, tmp_path: Path) -> None:
    name = PLAN.shard_name(0)
    data, _ = build_shard(PLAN, 0)
    write_file(tmp_path / name, data)
    second = tmp_path / PLAN.shard_name(1)
    # whatever is written under the temporary name meets a device that is full
    (tmp_path / f".{second.name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"disk is full\. Finished shards stay valid"):
        write_file(second, data)
    assert not second.exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_more_than_the_disk_holds_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="MB are free"):
        write_dataset(DatasetPlan(40_000_000, 2048, shards=4), tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_an_example_that_no_scene_has_says_which_filter_refused() -> None:
    context = Context(32, Rejections())
    wanted = Wanted("marker", "further", 0, 1)
    refused = []
    for seed in range(30):
        try:
            find_example(
                Task.PERSPECTIVE, wanted, seeds=iter([seed]), level="room", context=context
            )
        except GenerationError as error:
            refused.append(str(error))
    assert refused
    assert all("no perspective example for Wanted" in text for text in refused)
    assert any("refused by: no twins in the scene" in text for text in refused)
    with pytest.raises(GenerationError, match="refused by: nothing"):
        find_example(Task.PATH, wanted, seeds=iter(()), level="room", context=context)
    counts = context.rejections.as_dict()["perspective"]
    assert counts["tried scenes"] == 30
    assert counts.get("made", 0) == 30 - len(refused)


def test_the_command_refuses_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = str(tmp_path / "x"), str(tmp_path / "file")
    Path(file).write_text("not a folder")
    for arguments, message in (
        (["--out", out], "nothing to do"),
        (["--out", out, "--count", "5", "--tasks", "path=some"], "the share of path is no number"),
        (["--out", out, "--count", "0"], "count: expected 1 to"),
        (["--out", out, "--count", "5", "--tasks", ""], "tasks: expected some of"),
        (["--out", out, "--count", "5", "--variants", "pose"], "path has ego, map, map+arrow"),
        (["--out", out, "--count", "5", "--level", "castle"], "expected one of room, house"),
        (["--out", out, "--count", "5", "--workers", "-2"], "workers: expected 0"),
        (["--out", out, "--look"], "no *.parquet file"),
        (["--out", out, "--count", "5", "--tasks", "path=nan"], "share must be positive"),
        (["--out", out, "--count", "5", "--tasks", "path=inf"], "share must be positive"),
        (["--out", file, "--count", "5"], "file is a file; expected a folder"),
        (["--out", file + "/below", "--count", "5"], "file is a file; expected a folder"),
        (["--out", file, "--audit"], "file"),
    ):
        assert cli.main(arguments) == 2, arguments
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1 and said.startswith("ipt-dataset: ")


def test_task_mixes_are_read() -> None:
    assert cli.task_mix("perspective=2, path") == (("perspective", 2.0), ("path", 1.0))
    assert {t.value for t in TASKS} == {"perspective", "path", "counting", "clearance"}

"""Making a dataset: examples one by one, shards by workers that know nothing of each other.

Every example is a function of the plan and its index alone, so any worker may make any shard, in
any order, again and again, with the same bytes. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ipt_model.question import Task
from ipt_training.datasets.parquet import (
    DATASET_FILE,
    CorruptShardError,
    encode_shard,
    shard_metadata,
    shard_paths,
    write_file,
    write_info,
)
from ipt_training.datasets.plan import DatasetPlan, PlanError, Slots
from ipt_training.datasets.supervision import row_from_example
from ipt_training.example import Example
from ipt_training.folder_lock import only_writer
from ipt_training.houses.generator import make_scene
from ipt_training.processes import WorkerPool
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.scene import SceneError
from ipt_training.scenes.splits import seeds_of
from ipt_training.tasks import task_module
from ipt_training.tasks.sampling import Context, Rejections, Wanted

#: Scenes that are searched for one example before the wish counts as impossible.
MAX_SCENES = 600
#: Tries in one scene: a new camera costs less than a new house.
TRIES_PER_SCENE = 2


class GenerationError(RuntimeError):
    """An example could not be found; the message says which filter refused most."""


class WorkerError(RuntimeError):
    """A worker ended before its shard was done; the message says what to do."""


class DatasetMismatchError(PlanError):
    """The folder holds a dataset made with other options."""


def make_example(plan: DatasetPlan, slots: Slots, index: int, rejections: Rejections) -> Example:
    """Example `index` of a plan."""
    task, wanted = slots[index]
    return find_example(
        task,
        wanted,
        seeds=scene_seeds(plan, index),
        level=plan.level,
        context=Context(size_px=plan.size_px, rejections=rejections),
    )


def scene_seeds(plan: DatasetPlan, index: int) -> Iterator[int]:
    """Scenes of the split to look for an example in, in an order of its own."""
    seeds = seeds_of(plan.split)
    rng = np.random.default_rng([plan.seed, index, 0x5C])
    for _ in range(MAX_SCENES):
        yield int(seeds[int(rng.integers(len(seeds)))])


def find_example(
    task: Task, wanted: Wanted, *, seeds: Iterator[int], level: str, context: Context
) -> Example:
    """Search scene after scene for the wanted example; GenerationError when none has it."""
    module = task_module(task)
    request = getattr(module, "scene_request", None)
    counts = context.rejections
    before = dict(counts.counts)
    for seed in seeds:
        rng = np.random.default_rng([seed, wanted.draw & 0xFFFFFFFF, wanted.draw >> 32])
        asked = request(wanted, level, rng) if request else {}
        try:
            scene = make_scene(seed, level, **asked)
        except SceneError:
            counts.add(task.value, "scene too crowded")
            continue
        counts.add(task.value, "tried scenes")
        renderer = Renderer(scene)
        for _ in range(TRIES_PER_SCENE):
            example: Example | None = module.sample(
                scene, rng, wanted=wanted, context=context, renderer=renderer
            )
            if example is not None:
                counts.add(task.value, "made")
                facts = {**example.facts, "level": level, "scene_request": asked}
                return replace(example, facts=facts)
    refused = {
        reason: number - before.get((name, reason), 0)
        for (name, reason), number in counts.counts.items()
        if name == task.value and reason not in ("made", "tried scenes")
    }
    worst = ", ".join(f"{k} {v}" for k, v in sorted(refused.items(), key=lambda kv: -kv[1])[:3])
    raise GenerationError(
        f"no {task.value} example for {wanted} in {MAX_SCENES} scenes of level {level!r}; "
        f"refused by: {worst or 'nothing'}. Ask for another mix of tasks or variants."
    )


@dataclass(frozen=True)
class ShardResult:
    """What a worker reports of a finished shard. sha256: of its bytes. digest: of the decoded
    columns' plan.
    """

    shard: int
    name: str
    rows: int
    size_bytes: int
    sha256: str
    rejections: dict[str, dict[str, int]]


def build_shard(
    plan: DatasetPlan, shard: int, on_example: Callable[[], None] | None = None
) -> tuple[bytes, ShardResult]:
    """The bytes of a shard and what there is to say about it."""
    slots = plan.slots()
    rejections = Rejections()
    rows = []
    for index in plan.shard_range(shard):
        example = make_example(plan, slots, index, rejections)
        rows.append(
            row_from_example(
                example,
                index=index,
                split=plan.split,
                level=plan.level,
                image_format=plan.image_format,
            )
        )
        if on_example is not None:
            on_example()
    metadata = {
        "plan": plan.digest(),
        "shard": str(shard),
        "rejections": json.dumps(rejections.as_dict(), sort_keys=True),
    }
    data = encode_shard(rows, metadata)
    result = ShardResult(
        shard=shard,
        name=plan.shard_name(shard),
        rows=len(rows),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        rejections=rejections.as_dict(),
    )
    return data, result


def finished_shards(plan: DatasetPlan, out: Path) -> tuple[dict[int, ShardResult], list[Path]]:
    """(shards of this plan that are whole, files that are damaged). Refuses a folder of another
    plan.
    """
    recorded = _recorded(plan, out)
    done: dict[int, ShardResult] = {}
    damaged = []
    names = {plan.shard_name(k): k for k in range(plan.shard_count)}
    for path in shard_paths(out):
        shard = names.get(path.name)
        try:
            found = shard_metadata(path)
        except CorruptShardError:
            if shard is None:
                raise
            damaged.append(path)
            continue
        if shard is None or found.get("plan") != plan.digest():
            raise DatasetMismatchError(
                f"{path}: made with other options than asked for now; choose another --out, or "
                "delete the folder to start anew"
            )
        if int(found["num_rows"]) != len(plan.shard_range(shard)):
            damaged.append(path)
            continue
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if recorded.get(path.name, sha256) != sha256:
            damaged.append(path)
            continue
        done[shard] = ShardResult(
            shard=shard,
            name=path.name,
            rows=int(found["num_rows"]),
            size_bytes=len(data),
            sha256=sha256,
            rejections=json.loads(found["rejections"]),
        )
    return done, damaged


def _recorded(plan: DatasetPlan, out: Path) -> dict[str, str]:
    """SHA-256 of every shard as it was when the dataset was finished; nothing before that."""
    try:
        summary = json.loads((out / DATASET_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return summary["shards"] if summary.get("plan_digest") == plan.digest() else {}


@dataclass(frozen=True)
class Summary:
    """What was made: as `dataset.json` stores it. sha256: over the shards' own, in order."""

    plan: DatasetPlan
    rows: int
    size_bytes: int
    sha256: str
    shards: dict[str, str]
    rejections: dict[str, dict[str, int]]

    def to_dict(self) -> dict[str, object]:
        return {
            "plan": self.plan.to_dict(),
            "plan_digest": self.plan.digest(),
            "rows": self.rows,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "shards": self.shards,
            "rejections": self.rejections,
        }


def write_dataset(
    plan: DatasetPlan,
    out: Path,
    *,
    workers: int = 1,
    on_rows: Callable[[int], None] | None = None,
    ray_address: str | None = None,
) -> Summary:
    """Make whatever is missing of a dataset; `dataset.json` beside the data says what there is.

    on_rows: told how many more rows are finished, from this process. workers: processes; 1 works
    in this one. Only one command at a time may write into a folder (FolderError).
    """
    with only_writer(out) as held:
        if held:  # else they may be what another command is writing just now
            for left in out.glob(".*.tmp"):
                left.unlink(missing_ok=True)
        return _write(plan, out, workers, on_rows, ray_address)


def _write(
    plan: DatasetPlan,
    out: Path,
    workers: int,
    on_rows: Callable[[int], None] | None,
    ray_address: str | None,
) -> Summary:
    done, damaged = finished_shards(plan, out)
    for path in damaged:
        path.unlink()
    tell = on_rows or (lambda rows: None)
    tell(sum(result.rows for result in done.values()))
    todo = [k for k in range(plan.shard_count) if k not in done]
    _check_room(plan, out, sum(len(plan.shard_range(k)) for k in todo))
    if ray_address is not None:
        from ipt_training.datasets.ray_cluster import build_on_ray

        with contextlib.closing(build_on_ray(plan, todo, ray_address)) as made:
            for data, result in made:
                write_file(out / result.name, data)
                done[result.shard] = result
                tell(result.rows)
    elif workers <= 1 or len(todo) <= 1:
        for shard in todo:
            data, result = build_shard(plan, shard, lambda: tell(1))
            write_file(out / result.name, data)
            done[shard] = result
    else:
        with contextlib.closing(_with_processes(plan, out, todo, workers, tell)) as results:
            for result in results:
                done[result.shard] = result
    return _finish(plan, out, done)


def _check_room(plan: DatasetPlan, out: Path, examples: int) -> None:
    """Refuse before work is lost: a full disk is noticed now, not in an hour."""
    need = int(examples * 4 * plan.size_px**2 * 0.4)
    free = shutil.disk_usage(out).free
    if need > free:
        raise PlanError(
            f"{out}: {examples} examples at {plan.size_px} px need at least {need / 1e6:.1f} MB, "
            f"{free / 1e6:.1f} MB are free; ask for fewer, or for another folder"
        )


def _finish(plan: DatasetPlan, out: Path, done: dict[int, ShardResult]) -> Summary:
    write_info(out)
    total = Rejections()
    for result in done.values():
        total.merge(Rejections.from_dict(result.rejections))
    shas = {done[k].name: done[k].sha256 for k in sorted(done)}
    summary = Summary(
        plan=plan,
        rows=sum(r.rows for r in done.values()),
        size_bytes=sum(r.size_bytes for r in done.values()),
        sha256=hashlib.sha256("".join(shas.values()).encode()).hexdigest(),
        shards=shas,
        rejections=total.as_dict(),
    )
    write_file(out / DATASET_FILE, (json.dumps(summary.to_dict(), indent=1) + "\n").encode())
    return summary


_counter: object | None = None


def _enter_worker(counter: object) -> None:
    """Each worker computes on one thread: the processes are the parallelism."""
    global _counter
    _counter = counter
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(0)


def _work(plan: DatasetPlan, out: str, shard: int) -> ShardResult:
    def count() -> None:
        with _counter.get_lock():  # type: ignore[union-attr]
            _counter.value += 1  # type: ignore[union-attr]

    data, result = build_shard(plan, shard, count)
    write_file(Path(out) / result.name, data)
    return result


def _with_processes(
    plan: DatasetPlan, out: Path, todo: list[int], workers: int, tell: Callable[[int], None]
) -> Generator[ShardResult, None, None]:
    """Stops at the first error and when it is closed; finished shards stay."""
    counter = get_context("spawn").Value("q", 0)
    told = 0
    with WorkerPool(min(workers, len(todo)), _enter_worker, counter) as pool:
        waiting: set[Future[ShardResult]] = {
            pool.submit(_work, plan, str(out), shard) for shard in todo
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                made = int(counter.value)
                tell(made - told)
                told = made
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker was killed; was there too little memory? Finished shards are kept: the "
                "same command goes on from here, with fewer --workers if need be"
            ) from error

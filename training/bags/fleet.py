"""Many recordings: each is converted by one process, here, beside this one or on a Ray cluster.

In: `Job`s. Out: a `Conversion` or a `Failed` for each, as they end. Workers write parts aside
(`parts.py`); moving them in and the manifest are left to the process that called. On a cluster the
recordings and `out` must lie on a file system that every machine has at the same place.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ipt_training.bags.contract import Contract, ContractError
from ipt_training.bags.converting import convert
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.parts import Conversion, discard
from ipt_training.bags.reading import BagError
from ipt_training.datasets.ray_cluster import cluster
from ipt_training.folder_lock import LOCK_FILE
from ipt_training.processes import WorkerPool

TRIES = 2


@dataclass(frozen=True)
class Job:
    """One recording to convert; the paths are absolute. contract: None to guess it."""

    path: Path
    out: Path
    contract: Contract | None
    options: Mining
    limit: int = 0
    strip_stamps: bool = False

    @property
    def size_bytes(self) -> int:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        with contextlib.suppress(OSError):
            return sum(file.stat().st_size for file in files if file.is_file())
        return 0


@dataclass(frozen=True)
class Failed:
    """A recording that gave nothing, and why."""

    path: Path
    why: str


Outcome = Conversion | Failed
#: Told how many more bytes of recordings are read.
Told = Callable[[int], None]


def run_jobs(
    jobs: Sequence[Job], told: Told, *, workers: int = 1, ray_address: str | None = None
) -> Generator[tuple[Job, Outcome], None, None]:
    """Every job, tried again once where it fails; in no order. A full disk ends them all."""
    if ray_address is not None:
        yield from _on_ray(jobs, told, ray_address)
    elif workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, attempt(job, told)
    else:
        yield from _in_processes(jobs, told, workers)


def attempt(job: Job, told: Told | None = None) -> Outcome:
    """One job, wherever it runs."""
    if not (job.out / LOCK_FILE).exists():
        return Failed(
            job.path, f"{job.out}: is not there on this machine; a cluster must share it"
        )
    size, said = job.size_bytes, 0

    def tell(share: float) -> None:
        nonlocal said
        if told is not None and int(share * size) > said:
            told(int(share * size) - said)
            said = int(share * size)

    why = ""
    for _ in range(TRIES):
        try:
            found = convert(
                job.path,
                job.out,
                job.contract,
                job.options,
                limit=job.limit,
                strip_stamps=job.strip_stamps,
                told=tell,
            )
        except (BagError, ContractError) as error:
            why = str(error)
        except OSError:
            raise  # the disk of `out`: nothing that follows would fare better
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            why = f"{job.path}: a fault of this program: {type(error).__name__}: {error}"
        else:
            tell(1.0)
            return found
    tell(1.0)
    discard(job.out, job.path)
    return Failed(job.path, why)


# -- processes
_counter: Any = None


def _enter(counter: Any) -> None:
    """Each worker computes on one thread: the processes are the parallelism."""
    global _counter
    _counter = counter
    import cv2

    cv2.setNumThreads(0)


def _work(job: Job) -> Outcome:
    def told(more: int) -> None:
        with _counter.get_lock():
            _counter.value += more

    return attempt(job, told)


def _in_processes(
    jobs: Sequence[Job], told: Told, workers: int
) -> Generator[tuple[Job, Outcome], None, None]:
    """A killed worker takes the pool with it. What ran just then is tried once more, one job after
    the other, so that the one which needs too much memory is found and the others are not."""
    suspects: list[Job] = []
    waiting = list(jobs)
    while waiting:
        ended: set[Job] = set()
        for job, outcome in _pool(waiting, told, workers):
            ended.add(job)
            if outcome is None:
                suspects.append(job)
            else:
                yield job, outcome
        waiting = [job for job in waiting if job not in ended]
    for job in suspects:
        for _, outcome in _pool([job], told, 1):
            killed = "its worker was killed twice; was there too little memory?"
            yield job, outcome or Failed(job.path, f"{job.path}: {killed}")


def _pool(
    jobs: Sequence[Job], told: Told, workers: int
) -> Generator[tuple[Job, Outcome | None], None, None]:
    """Until all have ended or the pool is broken: then None for those that ran."""
    counter = get_context("spawn").Value("q", 0)
    known = 0
    todo = iter(jobs)
    running: dict[Future[Outcome], Job] = {}
    with WorkerPool(min(workers, len(jobs)), _enter, counter) as pool:

        def start(some: Iterable[Job]) -> None:
            for job in some:
                running[pool.submit(_work, job)] = job

        # no more are handed out than can run, so that it is known which ran
        start(job for _, job in zip(range(workers), todo, strict=False))
        while running:
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            now = int(counter.value)
            told(now - known)
            known = now
            for future in finished:
                job = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    yield job, None
                    for other in running.values():
                        yield other, None
                    return
                yield job, outcome
                with contextlib.suppress(BrokenProcessPool):  # told by those that run
                    start(job for _, job in zip(range(1), todo, strict=False))


# -- a cluster
def _on_ray(
    jobs: Sequence[Job], told: Told, address: str
) -> Generator[tuple[Job, Outcome], None, None]:
    with cluster(address) as ray:
        make = ray.remote(num_cpus=1, max_retries=TRIES - 1)(attempt)
        waiting = {make.remote(job): job for job in jobs}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready)
            outcome: Outcome
            try:
                outcome = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what went wrong, without the way it came
            except ray.exceptions.RayError as error:
                outcome = Failed(job.path, f"{job.path}: its worker was lost: {error}")
            told(job.size_bytes)
            yield job, outcome

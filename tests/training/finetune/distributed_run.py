"""Test runs in several processes, whose losses are written as JSON.

distributed_run.py SETTINGS.json OUT PROCESSES[:STOP_AFTER] ...

One run after another into the same folder, each with so many processes, stopped in a step or left
to its end; run k writes OUT/reports_k.json. Started by torchrun it is one process of one run; else
it forks them itself, for imports take longer than all that is trained here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from ipt_training.commands.train import train
from ipt_training.finetune import trainer
from ipt_training.recipe.settings import TrainingRecipe


def main() -> None:
    settings, out, *runs = sys.argv[1:]
    for k, (processes, _, stop) in enumerate(r.partition(":") for r in runs):
        one = functools.partial(one_process, settings, Path(out), k, int(stop or 0))
        if "RANK" in os.environ:
            one()
        else:
            fork(one, int(processes))


def fork(run: Callable[[], None], number: int) -> None:
    """`run` in so many processes that know of each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": number}

    def ranked(rank: int) -> None:
        if number > 1:
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number}
            os.environ.update({name: str(value) for name, value in (shared | own).items()})
        run()

    forked = [multiprocessing.get_context("fork").Process(target=ranked, args=[k])
              for k in range(number)]  # fmt: skip
    for process in forked:
        process.start()
    for process in forked:
        process.join()
        if process.exitcode:
            sys.exit(f"a process of {number} ended with {process.exitcode}")


def one_process(path: str, out: Path, k: int, stop: int) -> None:
    torch.set_num_threads(1)
    settings = TrainingRecipe.from_dict(json.loads(Path(path).read_text()))
    reports = []
    shards = []

    def on_step(report) -> None:
        reports.append({"step": report.step, **report.losses, "norm": report.norm})
        if report.step == stop:
            raise KeyboardInterrupt

    spread = trainer.shard

    def noted(module, *rest) -> None:
        spread(module, *rest)
        whole = sum(p.numel() for p in module.parameters())
        shards.append(sum(p.to_local().numel() for p in module.parameters()) / whole)

    trainer.shard = noted  # only watched
    outcome = None
    with contextlib.suppress(KeyboardInterrupt):
        outcome = train(settings, out, on_step=on_step)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        done = {
            "reports": reports,
            "finished": bool(outcome and outcome.finished),
            "sharded": shards,
        }
        (out / f"reports_{k}.json").write_text(json.dumps(done))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()

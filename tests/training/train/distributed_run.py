"""One process of a distributed test run: started by torchrun, it writes its losses as JSON.

distributed_run.py SETTINGS.json OUT [STOP_AFTER]
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import torch

from ipt_training.finetune import trainer
from ipt_training.finetune.settings import Settings
from ipt_training.train import train


def main() -> None:
    torch.set_num_threads(1)
    settings = Settings.from_dict(json.loads(Path(sys.argv[1]).read_text()))
    out = Path(sys.argv[2])
    stop = int(sys.argv[3]) if len(sys.argv) > 3 else None
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
        (out / "reports.json").write_text(json.dumps(done))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()

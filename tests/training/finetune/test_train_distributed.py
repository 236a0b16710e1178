"""Two processes give what one gives, whole or sharded, and one or two go on where two stopped.

Tolerance: losses and gradient norms agree to 2e-4 relative over all steps. The sums are the same
numbers added in another order (float32), and Adam divides gradients by their own size, so rounding
grows a little from step to step; the first step agrees to 2e-5.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import small_settings

from ipt_training.commands.train import train

pytestmark = pytest.mark.slow(40)

HERE = Path(__file__).parent
#: Latents differ in nothing: they are read from the same store.
FIRST, LATER = 2e-5, 2e-4


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def run(settings, out: Path, *runs: str, launcher: tuple[str, ...] = ()) -> list[dict]:
    """Runs one after another, each in so many processes; what the first of them reports."""
    path = out / "settings.json"
    path.write_text(json.dumps(settings.to_dict()))
    command = [sys.executable, *launcher, str(HERE / "distributed_run.py"), str(path), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [*command, *runs], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((out / f"reports_{k}.json").read_text()) for k in range(len(runs))]


def agree(a: list[dict], b: list[dict]) -> None:
    assert [r["step"] for r in a] == [r["step"] for r in b]
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        for name in ("ce", "mse", "auxiliary", "norm"):
            assert x[name] == pytest.approx(y[name], rel=LATER if k else FIRST), (k, name)


@pytest.fixture(scope="module")
def alone(data, vae, tmp_path_factory) -> list[dict]:
    reports: list[dict] = []
    train(
        settings_of(data, vae),
        tmp_path_factory.mktemp("alone"),
        on_step=lambda r: reports.append({"step": r.step, **r.losses, "norm": r.norm}),
    )
    return reports


def settings_of(data, vae, **run_changes):
    """Three steps of seven examples: two processes get four and three, in batches of different
    number."""
    return small_settings(
        data,
        vae,
        examples=21,
        batch={"examples": 7, "tokens": 700},
        run={"save": 2, "log": 1, **run_changes},
    )


@pytest.mark.parametrize(
    ("shard", "later", "launcher"), [(False, 2, TORCHRUN), (True, 1, ()), (True, 2, ())]
)
def test_two_processes_give_the_losses_of_one_and_the_run_goes_on(
    alone, data, vae, tmp_path, shard, later, launcher
) -> None:
    """The two are stopped in step 3, after the checkpoint of step 2."""
    settings = settings_of(data, vae, shard=shard)
    if launcher:
        (two,) = run(settings, tmp_path, "2:3", launcher=launcher)
        (rest,) = run(settings, tmp_path, str(later))
    else:
        two, rest = run(settings, tmp_path, "2:3", str(later))
    held = [pytest.approx(0.5, abs=0.05)]  # of all weights
    assert two["sharded"] == (held if shard else []) and not two["finished"]
    agree(two["reports"], alone)
    assert rest["finished"] and len(rest["reports"]) == 1
    agree(two["reports"][:2] + rest["reports"], alone)

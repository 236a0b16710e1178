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

HERE = Path(__file__).parent
#: Latents differ in nothing: they are read from the same store.
FIRST, LATER = 2e-5, 2e-4


def run(settings, out: Path, processes: int, stop: int | None = None) -> dict:
    """A run in processes of its own; what the first of them reports."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "settings.json"
    path.write_text(json.dumps(settings.to_dict()))
    launcher = [
        "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
    ] if processes > 1 else []  # fmt: skip
    command = [sys.executable, *launcher, str(HERE / "distributed_run.py"), str(path), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    more = [str(stop)] if stop else []
    done = subprocess.run(
        [*command, *more], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((out / "reports.json").read_text())


def agree(a: list[dict], b: list[dict]) -> None:
    assert [r["step"] for r in a] == [r["step"] for r in b]
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        for name in ("ce", "mse", "auxiliary", "norm"):
            assert x[name] == pytest.approx(y[name], rel=LATER if k else FIRST), (k, name)


@pytest.fixture(scope="module")
def alone(data, vae, tmp_path_factory) -> list[dict]:
    out = tmp_path_factory.mktemp("alone")
    return run(settings_of(data, vae), out, 1)["reports"]


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


@pytest.mark.slow
@pytest.mark.parametrize(("shard", "later"), [(False, 2), (True, 1), (True, 2)])
def test_two_processes_give_the_losses_of_one_and_the_run_goes_on(
    alone, data, vae, tmp_path, shard, later
) -> None:
    """The two are stopped in step 3, after the checkpoint of step 2."""
    two = run(settings_of(data, vae, shard=shard), tmp_path, 2, stop=3)
    held = [pytest.approx(0.5, abs=0.05)]  # of all weights
    assert two["sharded"] == (held if shard else []) and not two["finished"]
    agree(two["reports"], alone)
    rest = run(settings_of(data, vae, shard=shard), tmp_path, later)
    assert rest["finished"] and len(rest["reports"]) == 1
    agree(two["reports"][:2] + rest["reports"], alone)

"""What makes a training step on a CPU faster, measured on the same steps in turn: `python
benchmarks/train_speed.py --data DATASET`.

Kinds: `plain` is torch's attention kernel and its own matrix products; `products alone` are
oneDNN's, under which that kernel is slow; then `attention` and `products` change one thing more
each, and `all` is bfloat16 too. One thread; every kind computes losses and gradients of every
step, in rotating order. Writes benchmarks/results/train_speed.json with the processor time of each
kind relative to `plain`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from ipt_model.network import attention
from ipt_training.commands.train import make_source
from ipt_training.feed.sequences import SequenceMaker
from ipt_training.finetune.building import build
from ipt_training.finetune.losses import LossModule
from ipt_training.finetune.steps import StepMaker
from ipt_training.finetune.trainer import make_accelerator, quick_products
from ipt_training.recipe.settings import TrainingRecipe

RESULTS = Path(__file__).parent / "results" / "train_speed.json"
KINDS = {
    "plain": set(),
    "products alone": {"products"},
    "attention": {"attention"},
    "products": {"attention", "products"},
    "all": {"attention", "products", "bfloat16"},
}


@contextlib.contextmanager
def only(parts: set[str]) -> Iterator[None]:
    """The given parts switched on, all others off."""
    before = attention.SHORT
    attention.SHORT = before if "attention" in parts else 0
    products = quick_products(torch.device("cpu")) if "products" in parts else None
    try:
        with (
            products or contextlib.nullcontext(),
            torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in parts),
        ):
            yield
    finally:
        attention.SHORT = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("config/training/ship_tiny.yaml"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", default="ipt-tiny")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--override", action="append", default=[])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    changes = [f"data.train={chosen.data}", f"model.init={chosen.init}", "model.vae=''"]
    settings = TrainingRecipe.load(chosen.recipe, [*changes, *chosen.override])
    start = build(settings)
    with tempfile.TemporaryDirectory() as folder:
        source, _ = make_source(settings, start, Path(folder), make_accelerator(settings))
        maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
        steps = StepMaker(settings, start.config, source, maker)
        module = LossModule(start.model, True)
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        tokens = 0
        for step in range(chosen.steps + 1):
            names, prepared = list(KINDS), steps[step]
            tokens += sum(b.packed.tokens for b in prepared)
            for kind in names[step % len(names) :] + names[: step % len(names)]:
                began = time.process_time()
                with only(KINDS[kind]):
                    for batch in prepared:
                        module(batch).sum().backward()
                if step:  # the first step warms up
                    seconds[kind].append(time.process_time() - began)
                module.zero_grad(set_to_none=True)
    plain = sum(seconds["plain"])
    record = {
        "recipe": chosen.recipe.name,
        "steps": chosen.steps,
        "tokens_per_step": round(tokens / (chosen.steps + 1)),
        "torch": torch.__version__,
        "plain_s_per_step": round(plain / chosen.steps, 3),
        "speed_relative_to_plain": {
            kind: {
                "mean": round(plain / sum(own), 2),
                "quartiles": [
                    round(q, 2)
                    for q in statistics.quantiles(
                        [a / b for a, b in zip(seconds["plain"], own, strict=True)]
                    )
                ],
            }
            for kind, own in seconds.items()
        },
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()

"""The training loop: steps in, weights out, on one process or many.

`Trainer` joins what the other modules make. Losses are divided by the counts of the whole step
over all processes, so the number of processes changes nothing but rounding. It knows no command
line and prints nothing; whoever watches gets every step's `StepReport`.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from ipt_training.finetune.building import Start, export, merged_weights
from ipt_training.finetune.checkpoints import (
    checkpoint_folders,
    clear_leftovers,
    load_checkpoint,
    save_checkpoint,
)
from ipt_training.finetune.divergence import DivergenceError, finite, listed
from ipt_training.finetune.losses import PARTS, LossModule, TrainingBatch
from ipt_training.finetune.optimise import RunningAverage, make_optimiser, rate_factor
from ipt_training.finetune.sharding import shard, synchronise
from ipt_training.finetune.steps import StepMaker, loader
from ipt_training.recipe.settings import TrainingRecipe


@dataclass(frozen=True)
class StepReport:
    """One finished step. losses: mean per counted word, noised token and known number, over all
    processes; NaN where a step has none. norm: of the gradient before clipping."""

    step: int
    examples: int
    losses: dict[str, float]
    rate: float
    norm: float
    tokens: int
    seconds: float


#: Returns False to stop after this step (the checkpoint is written).
OnStep = Callable[[StepReport], bool | None]


class Trainer:
    """One run in `out`. Resumes from the newest checkpoint found there."""

    def __init__(
        self, settings: TrainingRecipe, start: Start, out: Path, accelerator: Accelerator
    ) -> None:
        self.settings, self.start, self.out, self.accelerator = settings, start, out, accelerator
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            module = LossModule(start.model, settings.loss.auxiliary > 0)
        if settings.run.checkpointing:
            start.model.gradient_checkpointing_enable({"use_reentrant": False})
        module.train()
        self.module = self.wrapped = module
        self.sharded = settings.run.shard and accelerator.num_processes > 1
        if self.sharded:
            main, narrow = accelerator.is_main_process, settings.run.precision == "bfloat16"
            shard(module, accelerator.device, main, narrow)
        else:
            module.to(accelerator.device)
            self.wrapped = accelerator.prepare(module)
        self.optimiser = accelerator.prepare(make_optimiser(module, settings.optimiser))
        self.average = RunningAverage(module, settings.optimiser.average)
        self.step = 0
        self.filler: TrainingBatch | None = None
        self._name: Callable[[int], str] = "showing {}".format
        self.facts: dict[str, Any] = {}

    # -- where it stands
    def resume(self) -> bool:
        """Go on from the newest checkpoint; False when there is none."""
        if self.accelerator.is_main_process:
            clear_leftovers(self.out)
        folders = checkpoint_folders(self.out)
        if not folders:
            return False
        state = load_checkpoint(
            folders[-1],
            self.module,
            self.optimiser.optimizer,
            self.average,
            self.settings.digest(),
        )
        self.step = int(state["step"])
        return True

    def save(self) -> None:
        """Write a checkpoint of now; all processes must call it."""
        self.accelerator.wait_for_everyone()
        state = {
            "step": self.step,
            "examples": self.step * self.settings.batch.examples,
            "settings": self.settings.digest(),
            "recipe": self.settings.to_dict(),
        }
        main = self.accelerator.is_main_process
        save_checkpoint(
            self.out,
            self.module,
            self.optimiser.optimizer,
            self.average,
            state,
            main=main,
            keep=self.settings.run.keep,
        )
        self.accelerator.wait_for_everyone()

    # -- the loop
    def run(self, steps: StepMaker, on_step: OnStep | None = None) -> bool:
        """Train to the end; False when `on_step` stopped it earlier. DivergenceError before the
        first update that is no number."""
        settings, last = self.settings, self.settings.steps
        if self.step >= last:
            return True
        self.filler, self._name = steps.filler(), steps.source.name
        batches = loader(steps, self.step, settings.data.workers)
        began = time.perf_counter()
        while self.step < last:
            report = self.train_step(next(batches), began)
            began = time.perf_counter()
            stop = on_step is not None and on_step(report) is False
            save = settings.run.save
            if stop or self.step == last or (save and self.step % save == 0):
                self.save()
            if stop:
                return False
        return True

    def train_step(self, batches: list[TrainingBatch], began: float) -> StepReport:
        """One update from this process's batches of the step."""
        settings, accelerator = self.settings, self.accelerator
        torch.manual_seed(settings.seed * 1_000_003 + self.step)  # adapters' dropout, if any
        factor = rate_factor(self.step, settings.steps, settings.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.optimiser.rate * factor
        if self.sharded:
            batches = self._as_many(batches)
        counts = torch.stack([b.counts() for b in batches]).sum(0)
        counts = accelerator.reduce(counts.to(**_countable(accelerator)), "sum")
        weights = torch.tensor(
            [settings.loss.ce, settings.loss.mse, settings.loss.auxiliary], dtype=torch.float64
        )
        # gradients are averaged over processes, the losses here are shares of one sum
        scale = (weights.to(counts.device) / counts.clamp(min=1)) * accelerator.num_processes
        sums = torch.zeros_like(counts)
        losses = []
        for k, batch in enumerate(batches):
            with self._last(k == len(batches) - 1), quick_products(accelerator.device):
                parts = self.wrapped(batch.to(accelerator.device))
                accelerator.backward((parts * scale.to(parts.dtype)).sum())
            losses.append(parts.detach())
            sums += losses[-1].to(sums)
        norm = accelerator.clip_grad_norm_(self.wrapped.parameters(), settings.optimiser.clip)
        norm = _number(norm)
        sums = accelerator.reduce(sums, "sum")
        # both are the same in all processes, so all of them stop here or none
        if not finite(sums, norm):
            raise self._divergence(batches, losses, norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update(self.step)
        self.step += 1
        means = torch.where(counts > 0, sums / counts.clamp(min=1), torch.nan).tolist()
        return StepReport(
            step=self.step,
            examples=self.step * settings.batch.examples,
            losses=dict(zip(PARTS, means, strict=True)),
            rate=settings.optimiser.rate * factor,
            norm=norm,
            tokens=sum(b.packed.tokens for b in batches),
            seconds=time.perf_counter() - began,
        )

    def _divergence(
        self, batches: list[TrainingBatch], losses: list[torch.Tensor], norm: float
    ) -> DivergenceError:
        """What was found where, over all processes; all of them must call it."""
        wrong = [b for b, loss in zip(batches, losses, strict=True) if not finite(loss)]
        found: list[tuple[bool, list[str], list[str]]] = gather_object(
            [
                (
                    bool(wrong),
                    [self._name(n) for b in (wrong or batches) for n in b.showings],
                    [
                        part
                        for k, part in enumerate(PARTS)
                        if any(not math.isfinite(float(loss[k])) for loss in losses)
                    ],
                )
            ]
        )
        blamed = [f for f in found if f[0]] or found
        names = listed(list(dict.fromkeys(name for _, some, _ in blamed for name in some)))
        parts = sorted({part for _, _, some in found for part in some})
        what = f"the losses {', '.join(parts)} are" if parts else "the gradient is"
        kept = checkpoint_folders(self.out)
        stays = f"{kept[-1]} stays the newest checkpoint" if kept else "there is no checkpoint yet"
        return DivergenceError(
            f"step {self.step + 1}: {what} not finite (norm {norm:g}), in a batch of "
            f"{names or 'exercises'}; nothing was updated, {stays}. Lower optimiser.rate in a new "
            "--out, or look at these examples"
        )

    def _as_many(self, batches: list[TrainingBatch]) -> list[TrainingBatch]:
        """Sharded weights are gathered in every pass, so all processes must make as many."""
        assert self.filler is not None, "sharded training needs a filler batch"
        count = torch.tensor([len(batches)], device=self.accelerator.device)
        most = int(self.accelerator.gather(count).max())
        return batches + [self.filler] * (most - len(batches))

    @contextlib.contextmanager
    def _last(self, last: bool) -> Iterator[None]:
        """Gradients go round once a step, with the last batch."""
        if self.sharded:
            synchronise(self.module, last)
            yield
        elif last:
            yield
        else:
            with self.accelerator.no_sync(self.wrapped):
                yield

    # -- what comes out
    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in evaluation mode inside the block."""
        self.module.eval()
        with self.average.applied():
            yield
        self.module.train()

    def export(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write the averaged weights as a folder that `Imaginer` loads."""
        with self.averaged():
            weights = self._weights()
            if self.accelerator.is_main_process:
                facts = {
                    "recipe": self.settings.to_dict(),
                    "settings": self.settings.digest(),
                    "examples": self.step * self.settings.batch.examples,
                    "step": self.step,
                    **self.facts,
                }
                export(folder, self.start, weights, json.loads(json.dumps(facts)), dtype)
        self.accelerator.wait_for_everyone()

    def _weights(self) -> dict[str, torch.Tensor]:
        """The model's tensors in full, as they are now; all processes must call it."""
        if not self.sharded:
            return merged_weights(self.start.model)
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        full: dict[str, Any] = get_model_state_dict(self.start.model, options=options)
        return full


@contextlib.contextmanager
def quick_products(device: torch.device) -> Iterator[None]:
    """On a CPU, matrix products by oneDNN, which may round factors to bfloat16 where the processor
    has units for that. Elsewhere they stay float32, and are faster than the default on processors
    that MKL does not favour (benchmarks/train_speed.py)."""
    if device.type != "cpu":
        yield
        return
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def _countable(accelerator: Accelerator) -> dict[str, Any]:
    """Where and as what counts are added up: Apple's devices have no float64."""
    kind = torch.float32 if accelerator.device.type == "mps" else torch.float64
    return {"device": accelerator.device, "dtype": kind}


def _number(value: Any) -> float:
    """A norm as a number, also where every process holds a part of it."""
    full = getattr(value, "full_tensor", None)
    return float(full() if full is not None else value)


def make_accelerator(settings: TrainingRecipe) -> Accelerator:
    """The accelerator of a recipe: one process, or as many as torchrun started."""
    from accelerate import DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    # one process may make several runs, one after the other; the process group stays
    AcceleratorState._reset_state()
    # sharded weights are narrowed layer by layer as they are gathered, without autocast
    narrow = settings.run.precision == "bfloat16" and not settings.run.shard
    return Accelerator(
        mixed_precision="bf16" if narrow else "no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )

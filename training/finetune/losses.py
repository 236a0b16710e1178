"""The model with its losses as one module: a packed batch in, sums of losses out.

Sums, not means: a step's batches differ in size between processes and passes, so whoever adds them
up divides once, by the counts of the whole step. The means are then those of one process that had
seen everything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.packing import PackedBatch, pack
from ipt_training.feed.auxiliary import AuxiliaryHead
from ipt_training.feed.sequences import TrainingSequence

#: The parts of a loss, in the order of every tensor of three here.
PARTS = ("ce", "mse", "auxiliary")
#: Padded tokens for each real one above which a batch is closed.
MOST_PADDING = 1.1


@dataclass(frozen=True)
class TrainingBatch:
    """Sequences laid out together. ce_weights: per predicted word; mse_weights: per noised token;
    both 0 for fillers.

    aux_slots: per sequence, the slot of its last prompt token among the reading tokens.
    aux_targets: [sequences, numbers], NaN where unknown. showings: the numbers of what is in it.
    """

    packed: PackedBatch
    ce_weights: Tensor | None
    mse_weights: Tensor | None
    aux_slots: Tensor
    aux_targets: Tensor
    showings: tuple[int, ...] = ()

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on another device."""
        changes: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor | PackedBatch):
                changes[f.name] = value.to(device, non_blocking=True)
        return replace(self, **changes)

    def counts(self) -> Tensor:
        """What the summed losses of this batch are divided by: [3] float64."""
        parts = [torch.zeros(()) if w is None else w for w in (self.ce_weights, self.mse_weights)]
        parts.append(~self.aux_targets.isnan())
        return torch.stack([w.double().sum() for w in parts])


def make_batch(
    sequences: list[TrainingSequence],
    config: BagelConfig,
    weighting: Literal["token", "sqrt"] = "token",
    fillers: int = 0,
) -> TrainingBatch:
    """Lay sequences out; the last `fillers` of them count nothing."""
    packed = pack([s.segments for s in sequences], config)
    starts = np.concatenate([[0], np.cumsum(packed.lengths)])
    real = starts[len(sequences) - fillers]
    ce = mse = None
    if packed.ce_positions is not None:
        ce = (packed.ce_positions < real).float()
        if weighting == "sqrt":
            ce = ce * _per_text(packed.ce_positions).rsqrt()
    if packed.mse_positions is not None:
        mse = (packed.mse_positions < real).float()
    last = torch.tensor([max(1, s.read_until) - 1 for s in sequences])
    und = 0 if packed.und_ids is None else packed.und_ids.shape[1]
    order = packed.order.masked_fill(packed.segment < 0, -1)[:, :und]
    within = (order == last[:, None]).int().argmax(1)
    targets = np.stack([s.targets for s in sequences])
    return TrainingBatch(
        packed,
        ce,
        mse,
        within + und * torch.arange(len(sequences)),
        torch.from_numpy(targets),
        tuple(dict.fromkeys(s.showing for s in sequences if s.showing is not None)),
    )


def _per_text(positions: Tensor) -> Tensor:
    """For every predicted word how many its text has: texts are runs of neighbouring positions."""
    breaks = torch.diff(positions, prepend=positions[:1] - 2) != 1
    text = breaks.cumsum(0) - 1
    return torch.bincount(text)[text].float()


def micro_batches(
    sequences: list[TrainingSequence], most_tokens: int
) -> list[list[TrainingSequence]]:
    """Groups of similar layout that, padded, hold at most `most_tokens` each (or one sequence).

    A group of some size is closed early where the next sequence would make it mostly padding.
    """
    groups: list[list[TrainingSequence]] = []
    und = gen = real = 0
    for sequence in sorted(sequences, key=lambda s: (s.gen, s.und)):
        wide, high = max(und, sequence.und), max(gen, sequence.gen)
        size = sequence.und + sequence.gen
        padded = (len(groups[-1]) + 1 if groups else 1) * (wide + high)
        wasteful = real > most_tokens // 4 and padded > MOST_PADDING * (real + size)
        if groups and padded <= most_tokens and not wasteful:
            groups[-1].append(sequence)
            und, gen, real = wide, high, real + size
        else:
            groups.append([sequence])
            und, gen, real = sequence.und, sequence.gen, size
    return groups


class LossModule(nn.Module):
    """What is trained: the model and, where its loss counts, the auxiliary head."""

    def __init__(self, model: BagelModel, auxiliary: bool) -> None:
        super().__init__()
        self.model = model
        self.auxiliary = AuxiliaryHead(model.config.llm.hidden) if auxiliary else None

    def forward(self, batch: TrainingBatch) -> Tensor:
        """Weighted sums over the batch, [3]."""
        read = None if self.auxiliary is None else batch.aux_slots
        out = self.model(batch.packed, read=read)
        ce = mse = aux = torch.zeros((), device=batch.aux_targets.device)
        if out.ce is not None and batch.ce_weights is not None:
            ce = (out.ce * batch.ce_weights).sum()
        if out.mse is not None and batch.mse_weights is not None:
            mse = (out.mse.mean(-1) * batch.mse_weights).sum()
        if self.auxiliary is not None and out.read is not None:
            aux = self.auxiliary.loss(out.read, batch.aux_targets)
        return torch.stack([ce, mse, aux])

"""Training the small vision tower to see, before anything else: a picture in, for each of its
patches which named things are there and how far away, and on a map how many of them.

The released model's tower has seen billions of pictures; a fresh one that must find out through
the decoder's answers alone what a patch shows stays at chance for tens of thousands of examples.
Here every patch of every picture says it. In: `patch_views.PatchViews`. Out: `vit.safetensors`,
tower and connector under the model's own names.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vision import picture_tokens
from ipt_training.finetune.divergence import DivergenceError, check_tensors, finite, listed
from ipt_training.finetune.optimise import make_optimiser
from ipt_training.finetune.patch_views import SURFACES, PatchViews
from ipt_training.recipe.settings import OptimiserSettings, check_part
from ipt_training.scenes.scene import LEVELS

TOWER_FILE = "vit.safetensors"
#: What an error of a map's whole count weighs beside one of a patch.
WHOLE = 0.05
#: Of a tower that is held: the reading of patches learns alone for so many times the warm-up.
READING_FIRST = 3


@dataclass(frozen=True)
class TowerSettings:
    """pictures: rendered from fresh training scenes; steps of `batch` of them, the rate falling
    along a cosine. count: the weight of counting. kinds: what an error in the kind of a thing
    weighs beside one in its colour. hold: of a tower that goes on, the weight of what a patch's
    token has moved away since, beside how far tokens lie apart; a decoder still reads it then."""

    pictures: int = 40000
    steps: int = 5000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.02
    count: float = 1.0
    kinds: float = 1.0
    hold: float = 0.0
    level: str = "room"
    seed: int = 0

    def __post_init__(self) -> None:
        check_part(self, {"pictures": 1, "steps": 1, "batch": 1, "warmup": 1, "seed": 0})
        if self.level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {self.level!r}")


@dataclass(frozen=True)
class TowerReport:
    """One step: the loss; of the things that are in a patch how many were named, of those
    named how many are there; of the colours that a map shows how many were counted rightly; of
    the patches of views with things of one kind in them, how many are told by it; how far tokens
    have moved, as a share of their variance."""

    step: int
    loss: float
    recall: float
    precision: float
    counted: float
    kind: float
    moved: float = 0.0


class Seeing(nn.Module):
    """The tower and its connector, with a linear reading of every patch that is not kept."""

    def __init__(self, config: BagelConfig, words: int, colours: int = 0, kinds: int = 0) -> None:
        """words: that a patch can be said to show; the first so many are colours, the next
        kinds."""
        super().__init__()
        self.colours, self.kinds = colours, slice(colours, colours + kinds)
        fresh = BagelModel(config)
        self.vit_model, self.connector = fresh.vit_model, fresh.connector
        self.read = nn.Linear(config.llm.hidden, 2 * words + SURFACES)
        self.shape, self.words = config.vit, words

    def tokens(self, pictures: Tensor) -> Tensor:
        """[n, h, w, 3] uint8 -> what a decoder reads, [n, patches, hidden]."""
        return picture_tokens(self.vit_model, self.connector, self.shape, pictures)[0]

    def said(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of tokens: logits [n, patches, words], surfaces [n, patches, SURFACES], counts
        [n, patches, words]."""
        out = self.read(seen)
        things, surfaces, counts = out.split([self.words, SURFACES, self.words], -1)
        return things, surfaces, counts

    def kept(self) -> dict[str, Tensor]:
        """The tensors of tower and connector under the model's names."""
        return tower_of(self)


def tower_of(module: nn.Module) -> dict[str, Tensor]:
    """Tower and connector of a model, or of `Seeing`, by name."""
    named = module.named_parameters()
    return {name: p for name, p in named if name.startswith(("vit_model.", "connector."))}


def take_tower(module: nn.Module, tower: Mapping[str, Tensor]) -> None:
    """Copy a tower into a module's own, which keeps what the other lacks; ValueError where it has
    no place for it."""
    own = tower_of(module)
    wrong = sorted(n for n, p in tower.items() if n not in own or own[n].shape != p.shape)
    if wrong:
        raise ValueError(f"a tower of another architecture ({', '.join(wrong[:3])})")
    with torch.no_grad():
        for name, tensor in tower.items():
            own[name].copy_(tensor)


def train_tower(
    seeing: Seeing,
    views: PatchViews,
    settings: TowerSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[TowerReport], None] | None = None,
) -> None:
    """Train in place on `views`, in random order."""
    seeing.to(device).train()
    before = copy.deepcopy(seeing).eval() if settings.hold else None
    optimiser = make_optimiser(
        seeing,
        OptimiserSettings(
            kind="muon", rate=settings.rate, eps=1e-8, weight_decay=settings.weight_decay
        ),
    )
    chance = np.random.default_rng([settings.seed, 0x715])
    for step in range(settings.steps):
        up = min(1.0, (step + 1) / settings.warmup)
        down = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * up * max(down, 0.02)
        rows = chance.integers(len(views.pictures), size=settings.batch)
        loss, *shares = _look(seeing, views, rows, device, settings, before)
        loss.backward()
        if before is not None and step < READING_FIRST * settings.warmup:
            # what a fresh reading says first is about itself, and would move the tower far away
            for parameter in seeing.kept().values():
                parameter.grad = None
        norm = nn.utils.clip_grad_norm_(seeing.parameters(), 1.0)
        if not finite(loss, norm):
            names = listed([f"picture {row}" for row in dict.fromkeys(rows.tolist())])
            raise DivergenceError(
                f"step {step + 1}: loss {float(loss):g} and gradient norm {float(norm):g} are not "
                f"finite, in a batch of {names}; nothing was written. Lower --rate"
            )
        optimiser.step()
        optimiser.zero_grad()
        if on_step is not None:
            on_step(TowerReport(step + 1, float(loss.detach()), *shares))


@torch.no_grad()
def judged(seeing: Seeing, views: PatchViews, device: torch.device | str = "cpu") -> TowerReport:
    """All of it on all of `views`."""
    seeing.to(device).eval()
    loss, *shares = _look(seeing, views, np.arange(len(views.pictures)), device, TowerSettings())
    return TowerReport(0, float(loss), *shares)


def _look(
    seeing: Seeing,
    views: PatchViews,
    rows: np.ndarray,
    device: torch.device | str,
    settings: TowerSettings,
    before: Seeing | None = None,
) -> tuple[Tensor, float, float, float, float, float]:
    """Mean loss of a patch, and the shares of a `TowerReport`. before: what tokens are held to."""
    things = torch.from_numpy(views.things[rows]).to(device)
    surfaces = torch.from_numpy(views.surfaces[rows]).to(device)
    pictures = torch.from_numpy(views.pictures[rows]).to(device)
    seen = seeing.tokens(pictures)
    said, level, counted = seeing.said(seen)
    named = F.binary_cross_entropy_with_logits(said, things.float(), reduction="none")
    loss = named.sum(-1).mean() + F.smooth_l1_loss(level, surfaces)
    loss = loss + (settings.kinds - 1) * named[..., seeing.kinds].sum(-1).mean()
    counts = torch.from_numpy(views.counts[rows]).to(device).float()
    maps = ~counts[:, 0, 0].isnan()
    colours = 0.0
    if settings.count and maps.any():
        away = counted[maps] - counts[maps]
        whole = away.sum(1)
        errors = away.square().sum(-1).mean() + WHOLE * whole.square().sum(-1).mean()
        loss = loss + settings.count * errors
        shown = counts[maps].sum(1)[:, : seeing.colours] > 0.5
        near = whole.detach()[:, : seeing.colours].abs() < 0.5
        colours = float(near[shown].float().mean())
    moved = 0.0
    if before is not None:
        with torch.no_grad():
            stood = before.tokens(pictures)
        away = (seen - stood).square().mean() / stood.flatten(0, 1).var(0).mean()
        loss, moved = loss + settings.hold * away, float(away.detach())
    told = said > 0
    right, there, claimed = (float(some.sum()) for some in (things & told, things, told))
    kind = _told_by_kind(said[~maps][..., seeing.kinds], things[~maps][..., seeing.kinds])
    return loss, right / max(there, 1), right / max(claimed, 1), colours, kind, moved


def _told_by_kind(said: Tensor, there: Tensor) -> float:
    """Of the patches with things of one kind in them, for how many it is the likeliest kind."""
    one = there.sum(-1) == 1
    if not one.any():
        return 0.0
    right = said.detach()[one].argmax(-1) == there[one].float().argmax(-1)
    return float(right.float().mean())


def save_tower(folder: Path, seeing: Seeing) -> None:
    """Write `vit.safetensors`, float32."""
    kept = {n: v.detach().float().contiguous().cpu() for n, v in seeing.kept().items()}
    check_tensors(kept, folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(kept, folder / TOWER_FILE)


def load_tower(folder: Path, model: BagelModel) -> None:
    """Put a trained tower into a fresh model; ValueError where it does not fit."""
    path = folder / TOWER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there; give the folder that ipt-train-vit wrote")
    stored = load_file(path)
    if missing := sorted(set(tower_of(model)) - set(stored)):
        raise ValueError(f"{path}: a tower without {', '.join(missing[:3])}")
    try:
        take_tower(model, stored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error

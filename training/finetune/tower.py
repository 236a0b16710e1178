"""Training the small vision tower to see, before anything else: a picture in, for each of its
patches which named things are there and how far away.

The released model's tower has seen billions of pictures; a fresh one that must find out through
the decoder's answers alone what a patch shows stays at chance for tens of thousands of examples.
Here every patch of every picture says it. Pictures are views and maps of training worlds; out
comes `vit.safetensors`: tower and connector under the model's own names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
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
from ipt_training.houses.furniture import categories
from ipt_training.houses.generator import make_scene
from ipt_training.processes import WorkerPool
from ipt_training.recipe.settings import OptimiserSettings, check_part
from ipt_training.rendering.embree import Renderer
from ipt_training.scenes.camera import Camera, camera_pose
from ipt_training.scenes.colours import HOUSE_COLOURS, ROOM_COLOURS
from ipt_training.scenes.scene import FLOOR, LEVELS, WALL, Scene
from ipt_training.scenes.splits import seeds_of
from ipt_training.tasks.geometry import ObjectTable, free_points

TOWER_FILE = "vit.safetensors"
#: Views of a scene beside its map, and scenes drawn in one go.
VIEWS, SCENES_AT_ONCE = 7, 100
#: The part of a patch that a thing must cover to be there.
PRESENT = 0.04
#: What a patch says besides its things: parts of floor and wall, and the logarithm of the depth.
SURFACES = 3


@dataclass(frozen=True)
class TowerSettings:
    """pictures: rendered from fresh training scenes; steps of `batch` of them, the rate falling
    along a cosine."""

    pictures: int = 40000
    steps: int = 5000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.02
    level: str = "room"
    seed: int = 0

    def __post_init__(self) -> None:
        check_part(self, {"pictures": 1, "steps": 1, "batch": 1, "warmup": 1, "seed": 0})
        if self.level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {self.level!r}")


@dataclass(frozen=True)
class TowerReport:
    """One step: the loss, and of the things that are in a patch how many were named, of those
    named how many are there."""

    step: int
    loss: float
    recall: float
    precision: float


@dataclass(frozen=True)
class PatchViews:
    """Pictures [n, h, w, 3] uint8; what each patch shows: things [n, patches, words] bool,
    surfaces [n, patches, SURFACES] float32."""

    pictures: np.ndarray
    things: np.ndarray
    surfaces: np.ndarray


def vocabulary(level: str) -> tuple[str, ...]:
    """What a patch can be said to show: colours, categories, and things by both."""
    colours = ROOM_COLOURS if level == "room" else HOUSE_COLOURS
    kinds = tuple(categories(level))
    return (*colours, *kinds, *(f"{c} {k}" for c, k in itertools.product(colours, kinds)))


def draw_views(first: int, last: int, level: str, size: int, patch: int) -> PatchViews:
    """Views and the map of each scene `first` to `last - 1`."""
    parts = [_scene_views(seed, level, size, patch) for seed in range(first, last)]
    return _joined(parts)


def many_views(settings: TowerSettings, size: int, patch: int, workers: int) -> PatchViews:
    """At least `settings.pictures` pictures, made by `workers` processes."""
    scenes = -(-settings.pictures // (VIEWS + 1))
    # the far end of the training seeds: datasets begin at the other
    stop = seeds_of("train").stop - settings.seed * scenes
    starts = range(stop - scenes, stop, SCENES_AT_ONCE)
    with WorkerPool(workers) as pool:
        parts = [
            pool.submit(draw_views, a, min(a + SCENES_AT_ONCE, stop), settings.level, size, patch)
            for a in starts
        ]
        return _joined([part.result() for part in parts])


def _joined(parts: list[PatchViews]) -> PatchViews:
    return PatchViews(
        np.concatenate([p.pictures for p in parts]),
        np.concatenate([p.things for p in parts]),
        np.concatenate([p.surfaces for p in parts]),
    )


def _scene_views(seed: int, level: str, size: int, patch: int) -> PatchViews:
    scene = make_scene(seed, level)
    rng = np.random.default_rng([seed, 0x717])
    renderer = Renderer(scene)
    height, pitch = rng.uniform(0.3, 1.6), math.radians(rng.uniform(2, 16))
    camera = Camera.from_fov(size, size, math.radians(rng.uniform(78, 106)))
    spots = free_points(scene, ObjectTable.of(scene), rng, 16 * VIEWS)[:VIEWS]
    poses = [
        camera_pose(float(x), float(y), float(rng.uniform(-math.pi, math.pi)), height, pitch)
        for x, y in spots
    ]
    views = renderer.render_many(poses, camera)
    x0, y0, x1, y1 = scene.bounds
    half = 0.5 * max(x1 - x0, y1 - y0) + rng.uniform(0, 0.5)
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    top = renderer.top_down((x - half, y - half, x + half, y + half), 2 * half / size)
    pictures = np.stack([*(v.rgb for v in views), top.rgb[:size, :size]])
    instances = np.stack([*(v.instance for v in views), top.instance[:size, :size]])
    depth = np.stack([*(v.depth_m for v in views), np.zeros((size, size), np.float32)])
    return PatchViews(pictures, *_patch_truth(scene, level, instances, depth, patch))


def _patch_truth(
    scene: Scene, level: str, instances: np.ndarray, depth: np.ndarray, patch: int
) -> tuple[np.ndarray, np.ndarray]:
    words = {word: k for k, word in enumerate(vocabulary(level))}
    seen = _by_patch(instances, patch)
    things = np.zeros((*seen.shape[:2], len(words)), np.float32)
    for index, thing in enumerate(scene.objects):
        share = (seen == index).mean(-1)
        for word in (thing.colour, thing.category, thing.name):
            things[..., words[word]] += share
    far = _by_patch(np.log(np.maximum(depth, 0.2)), patch).mean(-1)
    surfaces = np.stack([(seen == FLOOR).mean(-1), (seen == WALL).mean(-1), far], -1)
    return things >= PRESENT, surfaces.astype(np.float32)


def _by_patch(values: np.ndarray, patch: int) -> np.ndarray:
    """[n, h, w] -> [n, patches, patch * patch], in the tower's order."""
    n, h, w = values.shape
    parts = values.reshape(n, h // patch, patch, w // patch, patch).transpose(0, 1, 3, 2, 4)
    return parts.reshape(n, -1, patch * patch)


# -- learning
class Seeing(nn.Module):
    """The tower and its connector, with a linear reading of every patch that is not kept."""

    def __init__(self, config: BagelConfig, words: int) -> None:
        super().__init__()
        fresh = BagelModel(config)
        self.vit_model, self.connector = fresh.vit_model, fresh.connector
        self.read = nn.Linear(config.llm.hidden, words + SURFACES)
        self.shape = config.vit

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[n, h, w, 3] uint8 -> logits [n, patches, words], surfaces [n, patches, SURFACES]."""
        seen, _ = picture_tokens(self.vit_model, self.connector, self.shape, pictures)
        out = self.read(seen)
        return out[..., :-SURFACES], out[..., -SURFACES:]

    def kept(self) -> dict[str, Tensor]:
        """The tensors of tower and connector under the model's names."""
        return tower_of(self)


def tower_of(module: nn.Module) -> dict[str, Tensor]:
    """Tower and connector of a model, or of `Seeing`, by name."""
    named = module.named_parameters()
    return {name: p for name, p in named if name.startswith(("vit_model.", "connector."))}


def train_tower(
    seeing: Seeing,
    views: PatchViews,
    settings: TowerSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[TowerReport], None] | None = None,
) -> None:
    """Train in place on `views`, in random order."""
    seeing.to(device).train()
    optimiser = make_optimiser(
        seeing,
        OptimiserSettings(rate=settings.rate, eps=1e-8, weight_decay=settings.weight_decay),
    )
    chance = np.random.default_rng([settings.seed, 0x715])
    for step in range(settings.steps):
        up = min(1.0, (step + 1) / settings.warmup)
        down = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * up * max(down, 0.02)
        rows = chance.integers(len(views.pictures), size=settings.batch)
        loss, recall, precision = _look(seeing, views, rows, device)
        loss.backward()
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
            on_step(TowerReport(step + 1, float(loss.detach()), recall, precision))


@torch.no_grad()
def judged(seeing: Seeing, views: PatchViews, device: torch.device | str = "cpu") -> TowerReport:
    """Loss, recall and precision on all of `views`."""
    seeing.to(device).eval()
    loss, recall, precision = _look(seeing, views, np.arange(len(views.pictures)), device)
    return TowerReport(0, float(loss), recall, precision)


def _look(
    seeing: Seeing, views: PatchViews, rows: np.ndarray, device: torch.device | str
) -> tuple[Tensor, float, float]:
    """Mean loss of a patch; recall and precision of whole names."""
    things = torch.from_numpy(views.things[rows]).to(device)
    surfaces = torch.from_numpy(views.surfaces[rows]).to(device)
    said, level = seeing(torch.from_numpy(views.pictures[rows]).to(device))
    named = F.binary_cross_entropy_with_logits(said, things.float(), reduction="none")
    loss = named.sum(-1).mean() + F.smooth_l1_loss(level, surfaces)
    told = said > 0
    right, there, claimed = (float(some.sum()) for some in (things & told, things, told))
    return loss, right / max(there, 1), right / max(claimed, 1)


# -- files
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
    own = tower_of(model)
    wrong = sorted(
        set(stored) ^ set(own)
        | {n for n in set(stored) & set(own) if stored[n].shape != own[n].shape}
    )
    if wrong:
        raise ValueError(f"{path}: made for another architecture: {', '.join(wrong[:5])}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])

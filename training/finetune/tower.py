"""Training the small vision tower to see, before anything else: a picture in, for each of its
patches which named things are there and how far away, and on a map how many of them.

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
#: Views and maps of a scene, and scenes drawn in one go.
VIEWS, MAPS, SCENES_AT_ONCE = 5, 3, 100
#: The part of a patch that a thing must cover to be there.
PRESENT = 0.04
#: What a patch says besides its things: parts of floor and wall, and the logarithm of the depth.
SURFACES = 3
#: What an error of a map's whole count weighs beside one of a patch.
WHOLE = 0.05


@dataclass(frozen=True)
class TowerSettings:
    """pictures: rendered from fresh training scenes; steps of `batch` of them, the rate falling
    along a cosine. count: the weight of counting."""

    pictures: int = 40000
    steps: int = 5000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.02
    count: float = 1.0
    level: str = "room"
    seed: int = 0

    def __post_init__(self) -> None:
        check_part(self, {"pictures": 1, "steps": 1, "batch": 1, "warmup": 1, "seed": 0})
        if self.level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {self.level!r}")


@dataclass(frozen=True)
class TowerReport:
    """One step: the loss; of the things that are in a patch how many were named, of those
    named how many are there; of the colours that a map shows how many were counted rightly."""

    step: int
    loss: float
    recall: float
    precision: float
    counted: float


@dataclass(frozen=True)
class PatchViews:
    """Pictures [n, h, w, 3] uint8; what each patch shows: things [n, patches, words] bool,
    surfaces [n, patches, SURFACES] float32, and how many of each have their middle there,
    counts [n, patches, words] float16, NaN where nobody asks: in views."""

    pictures: np.ndarray
    things: np.ndarray
    surfaces: np.ndarray
    counts: np.ndarray


def colours_of(level: str) -> tuple[str, ...]:
    return ROOM_COLOURS if level == "room" else HOUSE_COLOURS


def vocabulary(level: str) -> tuple[str, ...]:
    """What a patch can be said to show: colours, categories, and things by both."""
    colours = colours_of(level)
    kinds = tuple(categories(level))
    return (*colours, *kinds, *(f"{c} {k}" for c, k in itertools.product(colours, kinds)))


def draw_views(first: int, last: int, level: str, size: int, patch: int) -> PatchViews:
    """Views and the map of each scene `first` to `last - 1`."""
    parts = [_scene_views(seed, level, size, patch) for seed in range(first, last)]
    return _joined(parts)


def many_views(settings: TowerSettings, size: int, patch: int, workers: int) -> PatchViews:
    """At least `settings.pictures` pictures, made by `workers` processes."""
    scenes = -(-settings.pictures // (VIEWS + MAPS))
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
        np.concatenate([p.counts for p in parts]),
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
    squares = [_map_square(scene, rng) for _ in range(MAPS)]
    tops = [renderer.top_down(square, (square[2] - square[0]) / size) for square in squares]
    pictures = np.stack([*(v.rgb for v in views), *(t.rgb[:size, :size] for t in tops)])
    instances = np.stack([*(v.instance for v in views), *(t.instance[:size, :size] for t in tops)])
    flat = [np.zeros((size, size), np.float32)] * MAPS
    depth = np.stack([*(v.depth_m for v in views), *flat])
    things, surfaces = _patch_truth(scene, level, instances, depth, patch)
    counts = np.full((*things.shape[:2], things.shape[2]), np.nan, np.float16)
    for k, square in enumerate(squares, len(views)):
        counts[k] = _patch_counts(scene, level, square, size // patch)
    return PatchViews(pictures, things, surfaces, counts)


def _map_square(scene: Scene, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A square with the whole scene in it, more or less in its middle."""
    x0, y0, x1, y1 = scene.bounds
    longest = 0.5 * max(x1 - x0, y1 - y0)
    half = longest + rng.uniform(0, 0.5)
    x, y = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-1, 1, 2) * (half - longest)
    return float(x - half), float(y - half), float(x + half), float(y + half)


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


def _patch_counts(
    scene: Scene, level: str, square: tuple[float, float, float, float], side: int
) -> np.ndarray:
    """[patches, words]: each thing counts 1, shared by the four patches whose middles are around
    its own, so that nothing changes all at once where it lies on an edge."""
    words = {word: k for k, word in enumerate(vocabulary(level))}
    counts = np.zeros((side, side, len(words)), np.float32)
    x0, y0, x1, y1 = square
    for thing in scene.objects:
        x = (thing.position[0] - x0) / (x1 - x0) * side - 0.5
        y = (y1 - thing.position[1]) / (y1 - y0) * side - 0.5
        x, y = (min(max(v, 0.0), side - 1.0) for v in (x, y))
        column, row = min(int(x), side - 2), min(int(y), side - 2)
        right, down = x - column, y - row
        named = [words[word] for word in (thing.colour, thing.category, thing.name)]
        for dy, part in ((0, 1 - down), (1, down)):
            for dx, share in ((0, 1 - right), (1, right)):
                counts[row + dy, column + dx, named] += part * share
    return counts.reshape(side * side, -1).astype(np.float16)


def _by_patch(values: np.ndarray, patch: int) -> np.ndarray:
    """[n, h, w] -> [n, patches, patch * patch], in the tower's order."""
    n, h, w = values.shape
    parts = values.reshape(n, h // patch, patch, w // patch, patch).transpose(0, 1, 3, 2, 4)
    return parts.reshape(n, -1, patch * patch)


# -- learning
class Seeing(nn.Module):
    """The tower and its connector, with a linear reading of every patch that is not kept."""

    def __init__(self, config: BagelConfig, words: int, colours: int = 0) -> None:
        """words: that a patch can be said to show; the first so many are colours."""
        super().__init__()
        self.colours = colours
        fresh = BagelModel(config)
        self.vit_model, self.connector = fresh.vit_model, fresh.connector
        self.read = nn.Linear(config.llm.hidden, 2 * words + SURFACES)
        self.shape, self.words = config.vit, words

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[n, h, w, 3] uint8 -> logits [n, patches, words], surfaces [n, patches, SURFACES],
        counts [n, patches, words]."""
        seen, _ = picture_tokens(self.vit_model, self.connector, self.shape, pictures)
        out = self.read(seen)
        things, surfaces, counts = out.split([self.words, SURFACES, self.words], -1)
        return things, surfaces, counts

    def begin_with(self, model: BagelModel) -> None:
        """Take over the tower of a model; what the model's lacks stays as it is."""
        own = dict(self.named_parameters())
        with torch.no_grad():
            for name, parameter in tower_of(model).items():
                own[name].copy_(parameter)

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
        loss, *shares = _look(seeing, views, rows, device, settings.count)
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
            on_step(TowerReport(step + 1, float(loss.detach()), *shares))


@torch.no_grad()
def judged(seeing: Seeing, views: PatchViews, device: torch.device | str = "cpu") -> TowerReport:
    """All of it on all of `views`."""
    seeing.to(device).eval()
    loss, *shares = _look(seeing, views, np.arange(len(views.pictures)), device, 1.0)
    return TowerReport(0, float(loss), *shares)


def _look(
    seeing: Seeing, views: PatchViews, rows: np.ndarray, device: torch.device | str, weight: float
) -> tuple[Tensor, float, float, float]:
    """Mean loss of a patch; recall and precision of whole names; colours counted rightly."""
    things = torch.from_numpy(views.things[rows]).to(device)
    surfaces = torch.from_numpy(views.surfaces[rows]).to(device)
    said, level, counted = seeing(torch.from_numpy(views.pictures[rows]).to(device))
    named = F.binary_cross_entropy_with_logits(said, things.float(), reduction="none")
    loss = named.sum(-1).mean() + F.smooth_l1_loss(level, surfaces)
    counts = torch.from_numpy(views.counts[rows]).to(device).float()
    maps = ~counts[:, 0, 0].isnan()
    colours = 0.0
    if weight and maps.any():
        away = counted[maps] - counts[maps]
        whole = away.sum(1)
        errors = away.square().sum(-1).mean() + WHOLE * whole.square().sum(-1).mean()
        loss = loss + weight * errors
        shown = counts[maps].sum(1)[:, : seeing.colours] > 0.5
        near = whole.detach()[:, : seeing.colours].abs() < 0.5
        colours = float(near[shown].float().mean())
    told = said > 0
    right, there, claimed = (float(some.sum()) for some in (things & told, things, told))
    return loss, right / max(there, 1), right / max(claimed, 1), colours


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

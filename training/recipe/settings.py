"""A training recipe as data: a YAML file and its base, checked before anything is loaded.

`TrainingRecipe.load(path, overrides)` is the only way in. Every section is a frozen dataclass, so
an unknown name or a value out of range is refused with the place it stands in. Nothing here knows
torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from ipt_training.datasets.supervision import SUPERVISIONS, Supervision
from ipt_training.recipe.layers import RecipeFileError, override, read

#: Entries of `run` that change no loss.
_BOOKKEEPING = ("save", "log", "keep", "validate", "validation_examples", "patience", "shard")


class SettingsError(ValueError):
    """A recipe that cannot be trained; the message names the entry and what was expected."""


@dataclass(frozen=True)
class ModelSettings:
    """Where the model comes from.

    init: a checkpoint folder, or `preset:NAME` for a fresh model of a preset's architecture. vae:
        the folder whose frozen `ae.safetensors` is used; empty takes `init`'s own. vit: the folder
        whose `vit.safetensors` the vision tower begins with; empty takes that of `init`.
    llm_config, vit_config, vae_config, config: entries that replace the preset's; a checkpoint
        takes those of its tower alone (`vit_config`, `config.vit_max_num_patch_per_side`), with
        `vit` beside them unless all that changes is `detail`, from 0; others that differ are
        refused. style: entries of `ipt.json` that replace those of `init`. dtype: of the stored
        weights; training itself wants float32 unless the frozen part is large.
    """

    init: str = "preset:ipt_tiny"
    vae: str = ""
    vit: str = ""
    llm_config: dict[str, Any] = field(default_factory=dict)
    vit_config: dict[str, Any] = field(default_factory=dict)
    vae_config: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)
    dtype: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class DataSettings:
    """What is learned from.

    train, validation: dataset folders; a training folder may be left out for `fresh`, a plan for
        examples made on the fly (entries of `datasets.plan.DatasetPlan`) by `workers` processes.
    tasks: kept tasks, empty for all. repeat: how often an epoch over `train` shows the rows of a
        task, once where it is not named. memory: keep the encoded rows in memory after first
        reading.
    mix: more dataset folders, each with its share of the showings; the rest is of `train`.
    own: a folder of views that the model itself drew of training rows, or that were recalled
        (`ipt-draw-own`). Where a row has some, a share `own_share` of the showings that draw, and
        of the readings, answers from one of them instead of the true one, which is still what the
        drawing is taught.
    """

    train: str = ""
    validation: str = ""
    fresh: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    repeat: dict[str, int] = field(default_factory=dict)
    memory: bool = False
    workers: int = 2
    mix: dict[str, float] = field(default_factory=dict)
    own: str = ""
    own_share: float = 0.5


@dataclass(frozen=True)
class BatchSettings:
    """examples: per optimiser step, over all processes. tokens: most padded tokens run at once in
    one process."""

    examples: int = 128
    tokens: int = 16384


@dataclass(frozen=True)
class FlowLossSettings:
    """draws: noise draws of each drawn picture, which share its context. shift: of the training
    times, 1 as published."""

    draws: int = 1
    shift: float = 1.0


@dataclass(frozen=True)
class DropoutSettings:
    """Probabilities that a condition is left out: question texts, and the clean VAE and ViT copy
    of a drawn picture. inputs: that the answer after a drawing is read from it and the question's
    words alone. Predicted texts always stay."""

    text: float = 0.1
    vae: float = 0.3
    vit: float = 0.3
    inputs: float = 0.0


@dataclass(frozen=True)
class LossSettings:
    """Weights of the parts. weighting: `token` counts every word alike, `sqrt` gives a text of n
    words the weight of sqrt(n). auxiliary: of the training-only head, 0 leaves it out. looks,
    reads: exercises beside each showing, on one picture alone: where in it something is, and what
    the answer is that rests on it."""

    ce: float = 1.0
    mse: float = 1.0
    auxiliary: float = 0.0
    weighting: Literal["token", "sqrt"] = "token"
    letter_exercises: int = 0
    looks: int = 0
    reads: int = 0
    turned: float = 0.0
    looks_only: bool = False


@dataclass(frozen=True)
class OptimiserSettings:
    """Linear warm-up, constant, and over the last `decay` share of all steps down to `final` of
    the rate. kind: `muon` moves the layers' matrices along orthogonalised momentum, at the same
    rate, and the rest by AdamW."""

    kind: Literal["adamw", "muon"] = "adamw"
    rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-15
    weight_decay: float = 0.0
    warmup: int = 2000
    decay: float = 0.0
    final: float = 0.05
    clip: float = 1.0
    average: float = 0.9999


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters on the decoder's linear layers; rank 0 trains the model itself."""

    rank: int = 0
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    drawing: bool = True


@dataclass(frozen=True)
class RunSettings:
    """Bookkeeping. precision: of the computation. shard: spread weights over processes (FSDP2).

    save, log, validate: every so many steps; 0 is never (the last step is always saved).
    validation_examples: per look at the validation split. keep: checkpoints that stay. patience:
    a run ends after so many looks that were no better, `final/` is its best; 0 is never.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    checkpointing: bool = False
    shard: bool = False
    save: int = 500
    log: int = 10
    validate: int = 0
    validation_examples: int = 256
    patience: int = 0
    keep: int = 2


@dataclass(frozen=True)
class TrainingRecipe:
    """One training run. examples: shown in all, counted over processes, every showing once."""

    name: str
    supervision: Supervision
    examples: int
    seed: int = 0
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    flow: FlowLossSettings = field(default_factory=FlowLossSettings)
    dropout: DropoutSettings = field(default_factory=DropoutSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        checks = (
            ("supervision", self.supervision in SUPERVISIONS, f"one of {', '.join(SUPERVISIONS)}"),
            ("name", bool(self.name.strip()), "some text"),
            ("examples", self.examples >= 1, "at least 1"),
            ("seed", self.seed >= 0, "0 or more"),
            ("batch.examples", self.batch.examples >= 1, "at least 1"),
            ("batch.tokens", self.batch.tokens >= 64, "at least 64"),
            (
                "loss.looks",
                self.loss.looks == 0 or (self.loss.looks > 0 and self.loss.auxiliary > 0),
                "0 where loss.auxiliary is 0, else at least 0",
            ),
            (
                "loss.turned",
                0 <= self.loss.turned <= 1 and (not self.loss.turned or self.loss.reads > 0),
                "0 up to 1, 0 where loss.reads is 0",
            ),
            (
                "loss.looks_only",
                not self.loss.looks_only or self.loss.looks > 0,
                "false where loss.looks is 0",
            ),
            (
                "data.mix",
                all(share > 0 for share in self.data.mix.values())
                and sum(self.data.mix.values()) < 1,
                "positive shares that leave some to data.train",
            ),
            ("data.repeat", all(n >= 1 for n in self.data.repeat.values()), "at least 1 each"),
            ("data.own_share", 0 < self.data.own_share <= 1, "above 0 up to 1"),
            ("flow.draws", self.flow.draws >= 1, "at least 1"),
            ("flow.shift", self.flow.shift > 0, "a positive number"),
            (
                "optimiser.kind",
                not (self.run.shard and self.optimiser.kind == "muon"),
                "adamw where weights are sharded",
            ),
            ("optimiser.rate", self.optimiser.rate > 0, "a positive number"),
            ("optimiser.clip", self.optimiser.clip > 0, "a positive number"),
            ("optimiser.betas", all(0 <= b < 1 for b in self.optimiser.betas), "0 up to below 1"),
            ("optimiser.final", 0 <= self.optimiser.final <= 1, "0 to 1"),
            ("optimiser.decay", 0 <= self.optimiser.decay <= 1, "0 to 1"),
            ("optimiser.average", 0 <= self.optimiser.average < 1, "0 up to below 1"),
            ("run.keep", self.run.keep >= 1, "at least 1"),
            ("run.validation_examples", self.run.validation_examples >= 1, "at least 1"),
            *(
                (name, attrgetter(name)(self) >= 0, "0 or more")
                for name in (
                    "run.save",
                    "run.log",
                    "run.validate",
                    "run.patience",
                    "data.workers",
                    "loss.ce",
                    "loss.mse",
                    "loss.auxiliary",
                    "loss.letter_exercises",
                    "loss.reads",
                    "optimiser.eps",
                    "optimiser.weight_decay",
                    "optimiser.warmup",
                    "lora.rank",
                )
            ),
            *(
                (f"dropout.{name}", 0 <= getattr(self.dropout, name) < 1, "0 up to below 1")
                for name in ("text", "vae", "vit")
            ),
            ("dropout.inputs", 0 <= self.dropout.inputs <= 1, "0 to 1"),
        )
        for name, holds, expected in checks:
            if not holds:
                given = attrgetter(name)(self)
                raise SettingsError(f"{name}: expected {expected}, got {given!r}")
        if self.lora.rank and self.run.shard:
            raise SettingsError("run.shard: adapters are small, train them without sharding")
        if self.run.patience and not (self.run.validate and self.data.validation):
            raise SettingsError("run.patience: needs run.validate and data.validation")
        if bool(self.data.train) == bool(self.data.fresh):
            raise SettingsError(
                "data: expected either `train` (a dataset folder) or `fresh` (a plan), "
                f"got {'both' if self.data.train else 'neither'}"
            )

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(1, self.examples // self.batch.examples)

    @property
    def draws_pictures(self) -> bool:
        """Whether any sequence has a picture under the flow loss."""
        return self.supervision in ("ipt", "mixed", "ipt_wrong")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON hold them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def digest(self) -> str:
        """A name for everything that decides the losses; where results are written does not."""
        data = self.to_dict()
        for name in _BOOKKEEPING:
            del data["run"][name]
        text = json.dumps(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @staticmethod
    def load(path: str | Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
        """Read a recipe and its base; overrides are `section.name=value`, the value in YAML."""
        try:
            data, files = read(Path(path))
            for text in overrides:
                override(data, text)
        except RecipeFileError as error:
            raise SettingsError(str(error)) from error
        try:
            return TrainingRecipe.from_dict(data)
        except SettingsError as error:
            raise SettingsError(f"{' on '.join(map(str, files))}: {error}") from error

    @staticmethod
    def from_dict(data: dict[str, Any]) -> TrainingRecipe:
        """Check and convert plain values."""
        settings = _build(TrainingRecipe, data, "")
        assert isinstance(settings, TrainingRecipe)
        return settings


def check_part(settings: Any, least: Mapping[str, int]) -> None:
    """Refuse settings of a part's training: numbers that are not finite, below their least, or
    below 0; a rate must be positive."""
    for name, value in vars(settings).items():
        if isinstance(value, str):
            continue
        low = least.get(name, 0)
        if name == "rate" and not 0 < value < math.inf:
            raise SettingsError(f"{name}: expected a positive number, got {value}")
        if not low <= value < math.inf:
            raise SettingsError(f"{name}: expected at least {low}, got {value}")


def _build(kind: type, data: Any, where: str) -> Any:
    """A dataclass from a mapping, recursively, with errors that name the entry."""
    if not isinstance(data, dict):
        raise SettingsError(f"{where or 'recipe'}: expected a mapping, got {data!r}")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(map(str, set(data) - set(known))):
        raise SettingsError(f"{where or 'recipe'}: unknown {unknown}, known are {sorted(known)}")
    required = [
        n
        for n, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing := [n for n in required if n not in data]:
        raise SettingsError(f"{where or 'recipe'}: lacks {missing}")
    prefix = f"{where}." if where else ""
    return kind(**{n: _convert(hints[n], v, prefix + n) for n, v in data.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise SettingsError(f"{where}: expected one of {list(arguments)}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise SettingsError(f"{where}: expected a list, got {value!r}")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise SettingsError(f"{where}: expected {len(arguments)} entries, got {value!r}")
        return tuple(_convert(arguments[0], v, where) for v in value)
    plain = origin if isinstance(origin, type) else kind
    if plain is float and isinstance(value, str):  # YAML 1.1 takes 1e-5 for a word
        with contextlib.suppress(ValueError):
            value = float(value)
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{where}: expected a finite number, got {value!r}")
    fits = isinstance(value, plain) and (plain is bool or not isinstance(value, bool))
    if isinstance(kind, types.UnionType) or not fits:
        raise SettingsError(
            f"{where}: expected {getattr(plain, '__name__', plain)}, got {value!r}"
        )
    return value

"""Checkpoint folders in the released layout: to a ready model, and back.

A folder holds the configuration files, `ema.safetensors` (the model) and `ae.safetensors` (the
VAE), each in one piece or sharded with an index. Every name and shape is checked before anything
is allocated; weights then go one by one straight to the target device and type. Nothing pickled
is ever read.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..network.config import BagelConfig
from ..network.embeddings import PositionTable
from ..network.model import BagelModel
from ..network.vae import LatentCodec
from .tensors import CheckpointError, TensorEntry, read_index, shards_of

__all__ = [
    "CheckpointError",
    "is_drawing",
    "load_codec",
    "load_model",
    "model_entries",
    "read_config",
    "save_folder",
]

Parts = Literal["all", "answer"]
#: Names that stand for the model, the released one first.
MODEL_STEMS = ("ema", "model")
#: Without any of these a model still reads and answers.
DRAWING = ("time_embedder.", "vae2llm.", "llm2vae.", "latent_pos_embed.")


def is_drawing(name: str) -> bool:
    """Whether a tensor of the model serves only drawing."""
    return "_moe_gen" in name or name.startswith(DRAWING)


def model_entries(folder: str | Path, weights: str = "") -> dict[str, TensorEntry]:
    """Where every tensor of the folder's model lies. weights: which, where there are two."""
    if weights not in ("", *MODEL_STEMS):
        raise CheckpointError(f"weights: expected {' or '.join(MODEL_STEMS)}, got {weights!r}")
    found = {}
    for stem in [weights] if weights else MODEL_STEMS:
        entries = read_index(Path(folder), stem)
        if entries is not None:
            found[stem] = entries
    if len(found) > 1:
        raise CheckpointError(
            f"{folder}: has both {' and '.join(f'{stem}.safetensors' for stem in found)}; choose "
            "with weights='ema' (the running average) or weights='model' (the weights as trained, "
            "which the IPT authors evaluated)"
        )
    if found:
        return next(iter(found.values()))
    wanted = weights or MODEL_STEMS[0]
    raise CheckpointError(
        f"{folder}: expected {wanted}.safetensors or {wanted}.safetensors.index.json, found "
        "neither"
    )


def read_config(folder: str | Path, entries: Mapping[str, TensorEntry]) -> BagelConfig:
    """The folder's configuration, with the sides of the position tables as the stored tables have
    them.

    Released config.json files have been seen to name another table size than the tensors they
    come with.
    """
    config = BagelConfig.from_folder(folder)
    for name, key in (
        ("latent_pos_embed.pos_embed", "max_latent_size"),
        ("vit_pos_embed.pos_embed", "vit_max_num_patch_per_side"),
    ):
        if name in entries:
            rows = entries[name].shape[0] if entries[name].shape else 0
            side = round(rows**0.5)
            if side * side != rows or not rows:
                raise CheckpointError(
                    f"{entries[name].path}: tensor {name} has {rows} rows, expected a square"
                )
            setattr(config, key, side)
    return config


def load_model(
    folder: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    parts: Parts = "all",
    config: BagelConfig | None = None,
    weights: str = "",
) -> BagelModel:
    """The folder's model in evaluation mode. dtype: None keeps each file's own (the first
    tensor's) type.

    parts: `answer` leaves out every weight that only drawing needs (about 16 of the 29 GB remain).
    weights: `ema` or `model`, where a folder has both.
    """
    entries = model_entries(folder, weights)
    config = copy.deepcopy(config) if config is not None else read_config(folder, entries)
    if parts == "answer":
        config.visual_gen = False
    if not config.visual_gen:
        entries = {name: entry for name, entry in entries.items() if not is_drawing(name)}
    if dtype is None:
        dtype = next((e.dtype for e in entries.values() if e.dtype.is_floating_point), None)
    with torch.device("meta"):
        model = BagelModel(config)
    tables = {
        f"{name}.pos_embed": module
        for name, module in model.named_modules()
        if isinstance(module, PositionTable)
    }
    expected = {name: tuple(p.shape) for name, p in model.named_parameters()}
    check_names(str(folder), expected, entries, optional=set(tables))
    for name, table in tables.items():
        if name in entries:
            _check_table(entries[name], table)
    _fill(model, {n: e for n, e in entries.items() if n not in tables}, device, dtype)
    for module in tables.values():
        module.pos_embed = nn.Parameter(
            torch.empty(module.pos_embed.shape, device=device, dtype=dtype), requires_grad=False
        )
        module.reset()
    model.config.dtype = dtype
    model.name_or_path = str(folder)
    return model.eval()


def load_codec(
    folder: str | Path,
    config: BagelConfig,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> LatentCodec:
    """The folder's VAE (`ae.safetensors`) in evaluation mode."""
    entries = read_index(Path(folder), "ae")
    if entries is None:
        raise CheckpointError(
            f"{folder}: expected ae.safetensors (the VAE), found none; without it a model only "
            "answers: load it with parts='answer'"
        )
    with torch.device("meta"):
        codec = LatentCodec(config)
    released = codec.released_parameters()
    expected = {name: shape for name, (_, shape) in released.items()}
    check_names(str(folder), expected, entries)
    if dtype is None:
        dtype = next(iter(entries.values())).dtype
    for entry in shards_of(entries):
        parameter, shape = released[entry.name]
        value = torch.empty(shape, device=device, dtype=dtype)
        entry.read_into(value)
        _replace(codec, parameter, value.view(parameter.shape))
    return codec.eval()


def check_names(
    where: str,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, TensorEntry],
    optional: set[str] | None = None,
) -> None:
    """Raise CheckpointError unless exactly the expected tensors are there, in the expected
    shapes."""
    missing = [n for n in expected if n not in found and n not in (optional or set())]
    unexpected = [n for n in found if n not in expected]
    if missing and all(map(is_drawing, missing)) and not any(map(is_drawing, found)):
        raise CheckpointError(
            f"{where}: has no weights for drawing ({len(missing)} tensors, {missing[0]} first); "
            "load it with parts='answer'"
        )
    for kind, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise CheckpointError(
                f"{where}: {len(names)} tensors {kind}: {', '.join(names[:5])}{more}; expected "
                f"{len(expected)} tensors, found {len(found)}. Do the configuration files fit?"
            )
    for name, entry in found.items():
        if entry.shape != expected[name]:
            raise CheckpointError(
                f"{entry.path}: tensor {name} has shape {list(entry.shape)}, "
                f"expected {list(expected[name])} by the configuration"
            )
        if not entry.dtype.is_floating_point:
            raise CheckpointError(
                f"{entry.path}: tensor {name} is {entry.dtype}, expected floating point"
            )


def _check_table(entry: TensorEntry, table: PositionTable) -> None:
    """Stored tables are not loaded but must be what they are taken for."""
    from ..network.embeddings import sincos_table

    error = (entry.read(torch.float32) - sincos_table(table.side, table.dim)).abs().max().item()
    if not error < 1e-2:  # the coarsest stored type, bfloat16, is 4e-3 off
        raise CheckpointError(
            f"{entry.path}: tensor {entry.name} should be the 2-D sine-cosine table, "
            f"it differs by {error:.3g}"
        )


def _fill(
    model: nn.Module,
    entries: Mapping[str, TensorEntry],
    device: torch.device | str,
    dtype: torch.dtype | None,
) -> None:
    for entry in shards_of(dict(entries)):
        value = torch.empty(entry.shape, device=device, dtype=dtype or entry.dtype)
        entry.read_into(value)
        owner, _, name = entry.name.rpartition(".")
        module = model.get_submodule(owner)
        trainable = module._parameters[name]
        assert trainable is not None
        module._parameters[name] = nn.Parameter(value, requires_grad=trainable.requires_grad)


def _replace(root: nn.Module, old: nn.Parameter, value: Tensor) -> None:
    for module in root.modules():
        for name, parameter in module._parameters.items():
            if parameter is old:
                module._parameters[name] = nn.Parameter(value)
                return
    raise LookupError("parameter not found")


def save_folder(
    folder: str | Path,
    model: BagelModel,
    codec: LatentCodec | None = None,
    *,
    position_tables: bool = True,
) -> None:
    """Write the released layout: configuration files, ema.safetensors and, given a codec,
    ae.safetensors. Weights that are no numbers are refused before anything is written."""
    folder = Path(folder)
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if position_tables or not name.endswith("pos_embed.pos_embed")
    }
    ae: dict[str, Tensor] = {}
    if codec is not None:
        ae = {
            name: parameter.detach().cpu().contiguous().view(shape)
            for name, (parameter, shape) in codec.released_parameters().items()
        }
    _check_numbers(folder, {**tensors, **ae})
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    keys = (
        "latent_patch_size",
        "max_latent_size",
        "vit_max_num_patch_per_side",
        "connector_act",
        "interpolate_pos",
        "timestep_shift",
        "visual_gen",
        "visual_und",
    )
    files = {
        "llm_config": config.llm_config,
        "vit_config": config.vit_config,
        "special_tokens": config.special_tokens,
        "config": {
            "model_type": config.model_type,
            "llm_config": config.llm_config,
            "vit_config": config.vit_config,
            "vae_config": config.vae_config,
            **{key: getattr(config, key) for key in keys},
        },
    }
    for name, data in files.items():
        (folder / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")
    save_file(tensors, folder / "ema.safetensors", metadata={"format": "pt"})
    if codec is not None:
        save_file(ae, folder / "ae.safetensors", metadata={"format": "pt"})


def _check_numbers(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    bad = [n for n, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise CheckpointError(
            f"{folder}: not written, {len(bad)} tensors have numbers that are not finite: "
            f"{', '.join(bad[:3])}; did training diverge, or is the number format too narrow?"
        )

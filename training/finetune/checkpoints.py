"""Where a run stands, on disk: weights, their average, the optimiser and the position in the data.

A checkpoint is written beside its final name and renamed when every byte is on disk, so what has
the name is whole. Tensors are stored by parameter name and in full, whatever number of processes
held them, so a run may go on with another number. Only safetensors and JSON are read.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ipt_training.finetune.divergence import check_tensors
from ipt_training.finetune.optimise import RunningAverage

STATE = "state.json"
_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)


class ResumeError(ValueError):
    """A checkpoint that does not belong to this run, or is damaged; the message says which and
    what to do."""


def checkpoint_folders(out: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = (out / "checkpoints").glob("step-*")
    return sorted(p for p in found if (p / STATE).is_file())


def check_resumable(out: Path, digest: str) -> None:
    """Refuse settings that the newest checkpoint was not made with, before anything is loaded or
    written."""
    for folder in checkpoint_folders(out)[-1:]:
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unreadable(folder, error) from error
        _check_digest(folder, state, digest)


def _check_digest(folder: Path, state: dict[str, Any], digest: str) -> None:
    if (found := state.get("settings")) != digest:
        raise ResumeError(
            f"{folder}: made with other settings ({found}, now {digest}); "
            "choose another --out, or delete the folder to start anew"
        )


def _unreadable(folder: Path, error: Exception) -> ResumeError:
    return ResumeError(
        f"{folder}: cannot be read ({error}); delete it to go on from the one before"
    )


def clear_leftovers(out: Path) -> None:
    """Delete what a killed run of this folder had begun to write."""
    for left in (*out.glob("checkpoints/.step-*.tmp"), *out.glob(".*.tmp")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def save_checkpoint(
    out: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: RunningAverage,
    state: dict[str, Any],
    *,
    main: bool = True,
    keep: int = 2,
) -> Path:
    """Write checkpoint `state["step"]`; all processes must call it, `main` writes.

    state: JSON-able; step, examples and the settings' digest at least.
    """
    weights: dict[str, Any] = get_model_state_dict(module, options=_FULL)
    with average.applied():
        averaged: dict[str, Any] = get_model_state_dict(module, options=_FULL)
        averaged = {k: v.float().clone() for k, v in averaged.items()}
    moments: dict[str, Any] = get_optimizer_state_dict(module, optimiser, options=_FULL)
    folder = out / "checkpoints" / f"step-{state['step']:08d}"
    if not main:
        return folder
    parts = {"model": weights, "average": averaged, "optimiser": _flat(moments["state"])}
    for tensors in parts.values():
        check_tensors(tensors, folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for stem, tensors in parts.items():
        save_file(
            {k: v.contiguous().clone() for k, v in tensors.items()},
            temporary / f"{stem}.safetensors",
        )
    (temporary / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    for path in temporary.iterdir():
        _sync(path)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    _sync(folder.parent)
    for old in checkpoint_folders(out)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: RunningAverage,
    digest: str,
) -> dict[str, Any]:
    """Put everything back and return the state; all processes must call it."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        parts: dict[str, dict[str, Any]] = {
            stem: dict(load_file(folder / f"{stem}.safetensors"))
            for stem in ("model", "average", "optimiser")
        }
    except Exception as error:
        raise _unreadable(folder, error) from error
    _check_digest(folder, state, digest)
    options = StateDictOptions(full_state_dict=True, strict=False)
    for stem in ("average", "model"):
        set_model_state_dict(module, parts[stem], options=options)
        if stem == "average":
            average.values = {
                name: p.detach().float().clone()
                for name, p in module.named_parameters()
                if p.requires_grad
            }
    # every process needs its groups; with cpu_offload all but the first get nothing
    whole = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
    moments = get_optimizer_state_dict(module, optimiser, options=whole)
    moments["state"] = _nested(parts["optimiser"])
    # not strict: a weight that no loss of the run depends on has no moments, and gets none
    set_optimizer_state_dict(module, optimiser, moments, options=options)
    for name, parameter in module.named_parameters():
        if name not in moments["state"]:
            optimiser.state.pop(parameter, None)
    return dict(state)


def _flat(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        f"{name}|{slot}": torch.as_tensor(value)
        for name, slots in state.items()
        for slot, value in slots.items()
    }


def _nested(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tensors.items():
        name, _, slot = key.rpartition("|")
        out.setdefault(name, {})[slot] = value
    return out


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

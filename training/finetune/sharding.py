"""Weights spread over processes (FSDP2): each holds a part of every layer and gathers one layer at
a time.

Only the first process ever holds the whole model, in host memory; the others begin without storage
and receive their parts. Works on GPUs and, for tests, on CPUs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from ipt_model.network.layers import MotLayer


def shard(module: nn.Module, device: torch.device, main: bool, bfloat16: bool) -> None:
    """Spread the module over all processes, in place; all must call it, `main` brings the
    weights."""
    weights: dict[str, Any] = dict(module.state_dict()) if main else {}
    module.to("meta")
    policy = MixedPrecisionPolicy()
    if bfloat16:
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for layer in module.modules():
        # the ViT runs once per picture size, so not equally often everywhere: it stays with the
        # rest, which is gathered once a pass
        if isinstance(layer, MotLayer):
            fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    module.to_empty(device=device)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(module, weights, options=options)


def synchronise(module: nn.Module, now: bool) -> None:
    """Whether the next backward pass exchanges gradients."""
    assert isinstance(module, FSDPModule)
    module.set_requires_gradient_sync(now)

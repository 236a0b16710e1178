"""Fixtures of the model tests: golden cases and models are read once per session."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from made_up import GOLDEN, OTHER, ROOT, randomise
from safetensors.torch import load_file

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.checkpoint import load_codec, load_model

sys.path.insert(0, str(ROOT / "benchmarks"))  # the plain twin lives there


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden_cases() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    return json.loads((GOLDEN / "cases.json").read_text()), load_file(GOLDEN / "cases.safetensors")


@pytest.fixture(scope="session")
def golden_model() -> BagelModel:
    return load_model(GOLDEN)


@pytest.fixture(scope="session")
def golden_codec(golden_model: BagelModel) -> LatentCodec:
    return load_codec(GOLDEN, golden_model.config)


@pytest.fixture(scope="session")
def other_model() -> BagelModel:
    model = BagelModel(BagelConfig(**OTHER)).eval()
    randomise(model, 1)
    return model

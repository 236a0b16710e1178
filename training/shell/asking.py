"""What the commands that ask a checkpoint about a dataset share: the options for model, data and
noise, and for where to compute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ipt_model.weights.loading import load
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.shell.command import positive, whole


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `asker_of` reads, and the dataset."""
    parser.add_argument("--model", required=True, help="checkpoint folder or shipped name")
    parser.add_argument("--data", type=Path, help="dataset folder")
    parser.add_argument("--flow-steps", type=positive)
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--style", help="how to ask: a name of `ipt-style list`, or a JSON file")
    parser.add_argument("--weights", default="", choices=("", "ema", "model"))
    parser.add_argument("--threads", type=whole, default=0)


def asker_of(given: argparse.Namespace, model: str = "") -> BatchAsker:
    """Load the model and set the number of threads as asked for. model: another than --model, as
    it is, with its own style and weights."""
    if given.threads:
        torch.set_num_threads(given.threads)
    if model:
        loaded = load(model, given.device)
    else:
        loaded = load(given.model, given.device, style=given.style, weights=given.weights)
    return BatchAsker(loaded, given.batch, given.flow_steps, given.seed)

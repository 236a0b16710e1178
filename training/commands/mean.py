"""`ipt-mean`: the weighted mean of the weights of several checkpoints.

    ipt-mean --out runs/mean runs/memory_more/final=0.75 runs/tiny/final=0.25

The checkpoints must have grown from one: the mean of two that were trained apart from the start
means nothing. All else (VAE, tokenizer, `ipt.json`) is of the first one named; its calibration is
left out, for it does not hold any more.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ipt_model.network.model import BagelModel
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import load_codec, load_model
from ipt_model.weights.loading import find_folder
from ipt_model.wording.tokenizer import Tokenizer
from ipt_training.finetune.building import Start, export
from ipt_training.folder_lock import check_folder
from ipt_training.shell.command import in_words


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-mean", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument(
        "--rests-on-view", nargs="*", metavar="TASK", help="tasks, in place of the first one's"
    )
    parser.add_argument("shares", nargs="+", metavar="CHECKPOINT=SHARE")
    given = parser.parse_args(arguments)
    return in_words("ipt-mean", lambda: _mean(given))


def _mean(given: argparse.Namespace) -> int:
    shares = [shared(text) for text in given.shares]
    total = math.fsum(share for _, share in shares)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"expected shares that add up to 1, got {total:g}")
    check_folder(given.out)
    folders = [find_folder(name) for name, _ in shares]
    weights = mean([(f, share) for f, (_, share) in zip(folders, shares, strict=True)])
    first = load_model(folders[0], dtype=torch.float32)
    style = AskingStyle.load(folders[0])
    parts = [
        {"share": share, **told(folder)}
        for folder, (_, share) in zip(folders, shares, strict=True)
    ]
    if given.rests_on_view is not None:
        style = AskingStyle.from_dict({**style.to_dict(), "rests_on_view": given.rests_on_view})
    style = replace(style, training={}, temperature={}, temperature_by_seen={}, recall_above={})
    codec = load_codec(folders[0], first.config, "cpu", torch.float32)
    start = Start(first, codec, Tokenizer.load(folders[0]), style)
    export(given.out, start, weights, {"mean_of": parts}, stored_type(folders[0]))
    print(f"{given.out}: the mean of {len(shares)} checkpoints")
    return 0


def shared(text: str) -> tuple[str, float]:
    """CHECKPOINT=SHARE."""
    name, equals, number = text.rpartition("=")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not equals or not name or not 0 < share <= 1:
        raise ValueError(f"expected CHECKPOINT=SHARE with a share above 0 up to 1, got {text!r}")
    return name, share


def mean(parts: Sequence[tuple[Path, float]]) -> dict[str, Tensor]:
    """Weights in float32. ValueError where two have not the same names and shapes."""
    total: dict[str, Tensor] = {}
    for folder, share in parts:
        model: BagelModel = load_model(folder, dtype=torch.float32)
        tensors = {name: value.detach() for name, value in model.state_dict().items()}
        shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        if not total:
            total = {name: share * value for name, value in tensors.items()}
            continue
        if shapes != {name: tuple(value.shape) for name, value in total.items()}:
            raise ValueError(f"{folder}: another architecture than {parts[0][0]}")
        for name, value in tensors.items():
            total[name] += share * value
    return total


def told(folder: Path) -> dict[str, object]:
    """By what its training is found again."""
    style = AskingStyle.load(folder)
    kept = {name: style.training[name] for name in ("settings", "step") if name in style.training}
    return {"model_id": style.model_id, **kept}


def stored_type(folder: Path) -> torch.dtype:
    return load_model(folder).decoder.embed_tokens.weight.dtype


if __name__ == "__main__":
    raise SystemExit(main())

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
    parts = [(find_folder(name), share) for name, share in shares]
    styles = [AskingStyle.load(folder) for folder, _ in parts]
    first, weights = mean(parts)
    facts = [{"share": share, **told(s)} for s, (_, share) in zip(styles, parts, strict=True)]
    style = styles[0]
    if given.rests_on_view is not None:
        style = AskingStyle.from_dict({**style.to_dict(), "rests_on_view": given.rests_on_view})
    style = replace(style, training={}, temperature={}, temperature_by_seen={}, recall_above={})
    folder = parts[0][0]
    codec = load_codec(folder, first.config, "cpu", torch.float32)
    start = Start(first, codec, Tokenizer.load(folder), style)
    stored = first.decoder.embed_tokens.weight.dtype
    export(given.out, start, weights, {"mean_of": facts}, stored)
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


def mean(parts: Sequence[tuple[Path, float]]) -> tuple[BagelModel, dict[str, Tensor]]:
    """The first model as it is stored, and the mean weights in float32. ValueError where two have
    not the same names and shapes."""
    (folder, share), *others = parts
    first = load_model(folder)
    total = {name: share * value.float() for name, value in first.state_dict().items()}
    shapes = {name: value.shape for name, value in total.items()}
    for other, part in others:
        tensors = load_model(other, dtype=torch.float32).state_dict()
        if shapes != {name: value.shape for name, value in tensors.items()}:
            raise ValueError(f"{other}: another architecture than {folder}")
        for name, value in tensors.items():
            total[name] += part * value
    return first, total


def told(style: AskingStyle) -> dict[str, object]:
    """Its training back to the first run; what was measured of it does not hold for the mean."""
    kept = {name: fact for name, fact in style.training.items() if name != "measured"}
    return {"model_id": style.model_id, **kept}


if __name__ == "__main__":
    raise SystemExit(main())

"""`ipt-draw-own`: let a model draw the unseen views of training rows, for `data.own` of a recipe.

    ipt-draw-own --model runs/long/final --data runs/data/own --out runs/own

Rows that the model has not learned from are best: it draws those it knows too well, and their
answers it may know by heart. `--mode recall` takes what the rows' memory recalls instead, with its
holes filled, and leaves out rows without one. Row, picture and latents of each go into one file
per process; start several with `--part 0/2`, `--part 1/2`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from ipt_model.question import Mode
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.feed.latents import codec_digest, encode_pictures
from ipt_training.feed.own_views import write_part
from ipt_training.folder_lock import check_folder
from ipt_training.progress import Watch
from ipt_training.shell.asking import add_options, asker_of
from ipt_training.shell.command import in_words, whole

#: Rows read, drawn and let go together; large, so that layouts fill their batches.
BLOCK = 1024


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-draw-own", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--count", type=whole, default=12_000, help="rows, over all parts")
    parser.add_argument("--mode", choices=("imagine", "recall"), default="imagine")
    parser.add_argument("--part", default="0/1", metavar="K/N", help="which share of the rows")
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("--data: expected a dataset folder")
    part, parts = _part(given.part, parser)
    return in_words("ipt-draw-own", lambda: _draw(given, part, parts))


def _draw(given: argparse.Namespace, part: int, parts: int) -> int:
    check_folder(given.out)
    asker = asker_of(given)
    loaded = asker.loaded
    if loaded.codec is None:
        raise ValueError(f"--model: {given.model} was loaded without the half that draws")
    dataset = Dataset(given.data)
    chosen = np.random.default_rng(given.seed).permutation(len(dataset))[: given.count]
    rows = sorted(chosen[part::parts].tolist())
    began = time.perf_counter()
    kept: dict[int, np.ndarray] = {}
    with Watch("drawing", len(rows)) as watch:
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK]
            examples = [example_from_row(dataset[row]) for row in block]
            if given.mode == "recall":
                shown = zip(block, (e.recalled for e in examples), strict=True)
                kept.update((row, view.filled) for row, view in shown if view is not None)
            else:
                for place, answers in asker.ask(examples, [Mode.IMAGINE], first=block[0]):
                    kept[block[place]] = answers[Mode.IMAGINE].imagined_views[0]
            watch.tell(first + len(block))
    if not kept:
        raise ValueError(f"{given.data}: no view to {given.mode} in {len(rows)} rows")
    facts: dict[str, object] = {
        "model": loaded.model_hash,
        "dataset": dataset.digest(),
        "codec": codec_digest(loaded.codec),
        "mode": given.mode,
        "seed": given.seed,
        "flow_steps": asker.steps,
    }
    pictures = list(kept.values())
    latents = encode_pictures(loaded.codec, pictures, loaded.style)
    write_part(given.out, part, list(kept), pictures, latents, facts)
    seconds = time.perf_counter() - began
    print(f"{given.out}: {len(kept)} of {len(rows)} rows kept in {seconds:.0f} s")
    return 0


def _part(text: str, parser: argparse.ArgumentParser) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and int(part) < int(parts)):
        parser.error(f"--part: expected K/N with K below N, got {text}")
    return int(part), int(parts)


if __name__ == "__main__":
    raise SystemExit(main())

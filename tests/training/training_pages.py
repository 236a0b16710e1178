"""Small stand-ins for what a page tells people to download: a clone, a benchmark, a public set."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ipt_training.datasets.schema import encode_image

ROOT = Path(__file__).parents[2]
_RNG = np.random.default_rng(8)
QUESTION = "How many chairs are in this area? A) 1 B) 2"


def picture() -> np.ndarray:
    return _RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def write_clone(folder: Path) -> None:
    """The two files that the prompts are read from, with other words."""
    texts = {
        "Imaginative-Perception-Token/scripts/prepare_datasets.py": (
            'VLM_THINK = ("\\nThink, in <think> </think> or <image_start> </image_end>. "\n'
            '             "Then <answer> it </answer>.")\n'
        ),
        "Imaginative-Perception-Token-Eval/vlmeval/vlm/thinkmorph/inferencer.py": (
            "ANSWER_ONLY_SYSTEM_PROMPT = '''\nOnly <answer> it </answer>.\n'''\n"
        ),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)


def write_benchmark(path: Path) -> None:
    coded = [base64.b64encode(encode_image(picture())).decode() for _ in range(3)]
    columns = ["index", "image", "question", "A", "B", "answer", "category", "gt_thought_image"]
    rows = [
        [k, str(coded[:2]), "How many chairs?", "1", "2", "B", "rotation", coded[2]]
        for k in range(3)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([columns, *rows])


def write_photo(path: Path) -> None:
    Image.fromarray(picture()).save(path)


def write_hub(folder: Path) -> None:
    def cell() -> dict[str, object]:
        return {"bytes": encode_image(picture()), "path": "x.png"}

    rows = [
        {
            "question": QUESTION,
            "answer": "A",
            "frame_0": cell(),
            "frame_1": cell(),
            "topdown_map": cell(),
        }
        for _ in range(4)
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")

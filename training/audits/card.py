"""One example as a picture for documents:
`python -m ipt_training.audits.card dataset_out --row 12 --out card.png`.

In: a row of a dataset of ours. Out: a PNG with the inputs and the true view side by side, each
named, and the question with its options below; the right one is framed. Pixels are enlarged
without smoothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ipt_model.question import Task
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.example import Example

SHOWN_PX = 256
EDGE, GAP, LINE = 16, 12, 24
FONT_PX = 16
PAGE, TEXT, DIM = (255, 255, 255), (28, 28, 34), (106, 106, 118)
IMAGINED, RIGHT = (68, 88, 200), (29, 122, 61)


def card(example: Example) -> Image.Image:
    """The example as an RGB picture."""
    recalled = [] if example.recalled is None else [example.recalled.rgb]
    pictures = [*example.question.images, *recalled, example.true_view]
    width = 2 * EDGE + len(pictures) * (SHOWN_PX + GAP) - GAP
    font = ImageFont.load_default(FONT_PX)
    lines = _wrapped(example.question.text, font, width - 2 * EDGE)
    height = 2 * EDGE + SHOWN_PX + LINE * (len(lines) + 2) + GAP
    page = Image.new("RGB", (width, height), PAGE)
    draw = ImageDraw.Draw(page)
    for k, (picture, name) in enumerate(zip(pictures, names_of(example), strict=True)):
        x = EDGE + k * (SHOWN_PX + GAP)
        page.paste(_enlarged(picture), (x, EDGE))
        imagined = k == len(pictures) - 1
        if imagined:
            corner = (x + SHOWN_PX - 1, EDGE + SHOWN_PX - 1)
            draw.rectangle(((x, EDGE), corner), outline=IMAGINED, width=3)
        draw.text((x, EDGE + SHOWN_PX + 2), name, IMAGINED if imagined else DIM, font)
    y = EDGE + SHOWN_PX + LINE + GAP // 2
    for line in lines:
        draw.text((EDGE, y), line, TEXT, font)
        y += LINE
    x = EDGE
    for k, option in enumerate(example.question.options):
        long = round(font.getlength(option))
        right = k == example.answer_index
        if right:
            box = ((x, y + 1), (x + long + 12, y + LINE - 1))
            draw.rounded_rectangle(box, 8, outline=RIGHT, width=2)
        draw.text((x + 6, y + 2), option, RIGHT if right else DIM, font)
        x += long + 24
    return page


def names_of(example: Example) -> list[str]:
    """What each picture is, the true view last."""
    inputs = len(example.question.images)
    task = example.question.task
    if task is Task.PERSPECTIVE:
        names = ["camera", "seen, moved to the new view"][:inputs]
    elif task is Task.PATH:
        names = ["map", "ahead at 1", "ahead at 2"][:inputs]
    elif task is Task.COUNTING:
        names = [f"frame {k}" for k in range(1, inputs + 1)]
    else:
        cameras = ["camera"] if inputs == 2 else [f"camera {k}" for k in range(1, inputs)]
        names = [*cameras, "map of what was seen"]
    if example.recalled is not None:
        names.append(f"recalled, {100 * example.recalled.share_seen:.0f} % seen")
    return [*names, "true view"]


def _enlarged(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.NEAREST)


def _wrapped(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--row", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    card(example_from_row(Dataset(args.dataset)[args.row])).save(args.out, optimize=True)


if __name__ == "__main__":
    main()

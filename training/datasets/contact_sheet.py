"""A dataset to look at: one HTML page with random examples of each task, self-contained.

In: a folder of ours. Out: a page with inputs, question, options, true view, answer and
reasoning; pictures are inline, so the page can be sent around.
"""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from ipt_training.datasets.parquet import Dataset, write_file
from ipt_training.datasets.public import any_example
from ipt_training.datasets.schema import Row, encode_image

SHEET_FILE = "look.html"
PER_TASK = 24
#: Small pictures are enlarged without smoothing, so that what the model sees is what is shown.
SHOWN_PX = 176

_STYLE = """
:root { color-scheme: light dark; --line: #d8d8de; --card: #fff; --page: #f4f4f6; --text: #1c1c22;
  --dim: #6a6a76; --right: #1d7a3d; --accent: #4458c8; }
@media (prefers-color-scheme: dark) { :root { --line: #36363f; --card: #202027; --page: #17171c;
  --text: #e8e8ee; --dim: #9a9aa6; --right: #5fd08a; --accent: #9aa8ff; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; }
h2 { margin: 2.5rem 0 1rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); }
header p, .kind { color: var(--dim); margin: 0; }
nav a { color: var(--accent); margin-right: 1rem; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(560px, 1fr)); gap: 1rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .5rem; align-items: flex-end; }
figure { margin: 0; }
img { display: block; border-radius: 6px; image-rendering: pixelated; }
figcaption { font-size: 12px; color: var(--dim); }
figure.true-view img { outline: 3px solid var(--accent); outline-offset: -3px; }
figure.true-view figcaption { color: var(--accent); }
.question { margin: .75rem 0 .5rem; font-weight: 600; }
.options span { display: inline-block; padding: .05rem .6rem; margin-right: .4rem;
  border: 1px solid var(--line); border-radius: 99px; }
.options .right { border-color: var(--right); color: var(--right); font-weight: 600; }
.reasoning { margin: .6rem 0 0; font-size: 13.5px; }
.kind { font-size: 12px; margin-top: .5rem; }
"""


def write_contact_sheet(folder: Path, *, per_task: int = PER_TASK, seed: int = 0) -> Path:
    """Write look.html beside the data and return its path."""
    dataset = Dataset(folder)
    tasks = [task or "public" for task in dataset.column("task")]
    names = list(dict.fromkeys(tasks))
    rng = np.random.default_rng(seed)
    sections = []
    for name in names:
        rows = [i for i, t in enumerate(tasks) if t == name]
        chosen = sorted(rng.permutation(rows)[:per_task].tolist())
        cards = "\n".join(_card(dataset[i], i) for i in chosen)
        title = html.escape(name)
        sections.append(f'<h2 id="{title}">{title}</h2>\n<div class="sheet">{cards}</div>')
    links = "".join(f'<a href="#{html.escape(n)}">{html.escape(n)}</a>' for n in names)
    facts = dataset.facts
    made = facts.get("plan", {})
    about = ", ".join(
        f"{key} {made[key]}" for key in ("split", "level", "size_px", "seed") if key in made
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{len(dataset)} questions</title><style>{_STYLE}</style>"
        f"<header><h1>{len(dataset)} questions with their true views</h1>"
        f"<p>{html.escape(about)}</p><nav>{links}</nav></header>" + "\n".join(sections)
    )
    path = folder / SHEET_FILE
    write_file(path, page.encode())
    return path


def _card(row: Row, index: int) -> str:
    example = any_example(row)
    question = example.question
    pictures = [_figure(image, f"input {k}") for k, image in enumerate(question.images, 1)]
    if example.recalled is not None:
        share = f"recalled, {100 * example.recalled.share_seen:.0f} % seen"
        pictures.append(_figure(example.recalled.rgb, share))
    if example.true_view.size:
        pictures.append(_figure(example.true_view, "true view", true_view=True))
    options = "".join(
        f'<span class="{"right" if k == example.answer_index else ""}">{html.escape(o)}</span>'
        for k, o in enumerate(question.options)
    )
    kind = f"{example.variant} · {example.subcategory} · scene {example.scene_seed} · row {index}"
    return (
        f'<article><div class="pictures">{"".join(pictures)}</div>'
        f'<p class="question">{html.escape(question.text)}</p><div class="options">{options}</div>'
        f'<p class="reasoning">{html.escape(example.reasoning)}</p>'
        f'<p class="kind">{html.escape(kind)} · <i>{html.escape(example.think)}</i></p></article>'
    )


def _figure(image: np.ndarray, caption: str, *, true_view: bool = False) -> str:
    data = base64.b64encode(encode_image(image)).decode()
    kind = ' class="true-view"' if true_view else ""
    return (
        f'<figure{kind}><img src="data:image/png;base64,{data}" width="{SHOWN_PX}" '
        f'height="{round(SHOWN_PX * image.shape[0] / image.shape[1])}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )

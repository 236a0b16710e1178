"""An evaluation as one HTML page: tables, reliability curves and examples with pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipt_model.question import Mode
from ipt_model.weights.asking_style import AskingStyle
from ipt_training.datasets.schema import encode_image
from ipt_training.evaluation.metrics import reliability
from ipt_training.evaluation.records import Record, confidence_of
from ipt_training.example import Example

_STYLE = """
:root{color-scheme:light dark;--line:#d5d7de;--card:#fff;--page:#f3f4f7;--text:#1b1d24;
--dim:#676b78;--good:#18794e;--bad:#b4232a;--accent:#3451b2}
@media(prefers-color-scheme:dark){:root{--line:#363a45;--card:#1f2229;--page:#16181d;--text:#e7e9ee;
--dim:#989daa;--good:#55c88d;--bad:#ff7b80;--accent:#9bb0ff}}
*{box-sizing:border-box}
body{margin:0;padding:2rem;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,sans-serif}
h1{margin:0;font-size:1.6rem}h2{margin:2.2rem 0 .8rem;font-size:1.2rem}
p.dim,.dim{color:var(--dim)}
table{border-collapse:collapse;background:var(--card);margin:.4rem 0}
td,th{border:1px solid var(--line);padding:.25rem .7rem;text-align:right}
th:first-child,td:first-child{text-align:left}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(520px,1fr));gap:1rem}
article{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
.row{display:flex;flex-wrap:wrap;gap:.5rem;align-items:flex-end}figure{margin:0}
figcaption{font-size:12px;color:var(--dim)}
img{display:block;image-rendering:pixelated;border-radius:5px}
.good{color:var(--good)}.bad{color:var(--bad)}
svg{background:var(--card);border:1px solid var(--line);border-radius:8px;margin-right:1rem}
"""


@dataclass(frozen=True)
class Shown:
    """One example of the page: the question with its pictures, and what was said and drawn."""

    example: Example
    record: Record
    imagined: np.ndarray | None


def page(
    title: str, result: dict[str, Any], records: Sequence[Record], shown: Sequence[Shown]
) -> str:
    """The whole page."""
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class=dim>model {html.escape(str(result['model']['hash']))[:30]} &middot; data "
        f"{html.escape(str(result['data']['digest']))[:16]} &middot; "
        f"{result['data']['examples']} examples &middot; seed {result['seed']}</p>",
        "<h2>Accuracy</h2>",
        _accuracy_table(result["tasks"]),
        *_comparison(result.get("compared", {})),
        *_seen_tables(result["tasks"]),
        "<h2>Imagined views</h2>",
        _imagination_table(result["tasks"]),
        "<h2>Calibration</h2>",
        _curves(result, records),
        "<h2>Examples</h2><div class=cards>",
        *(_card(one) for one in shown),
        "</div>",
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><body>{''.join(parts)}</body>"
    )


def _comparison(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    rows = ["<tr><th>task</th><th>mode</th><th>before</th><th>after</th><th>gain</th>"
            "<th>95 %, over scenes or places</th><th>n</th></tr>"]  # fmt: skip
    for task, modes in found.items():
        for mode, one in modes.items():
            kind = " class=good" if one["low"] > 0 else " class=bad" if one["high"] < 0 else ""
            rows.append(
                f"<tr><td>{task}</td><td>{mode}</td><td>{100 * one['before']['share']:.1f} %</td>"
                f"<td>{100 * one['after']['share']:.1f} %</td>"
                f"<td{kind}>{100 * one['difference']:+.1f}</td>"
                f"<td>{100 * one['low']:+.1f} to {100 * one['high']:+.1f}</td>"
                f"<td>{one['n']}</td></tr>"
            )
    return ["<h2>Before and after, on the same questions</h2>", f"<table>{''.join(rows)}</table>"]


def _accuracy_table(tasks: dict[str, Any]) -> str:
    rows = ["<tr><th>task</th><th>mode</th><th>right</th><th>95 %</th><th>n</th><th>chance</th>"
            "<th>unparsable</th><th>ECE</th><th>reliance</th></tr>"]  # fmt: skip
    for task, part in tasks.items():
        for mode, found in part["modes"].items():
            a = found["accuracy"]
            rows.append(
                f"<tr><td>{task}</td><td>{mode}</td><td><b>{_percent(a['share'])}</b></td>"
                f"<td>{_percent(a['low'])} &ndash; {_percent(a['high'])}</td><td>{a['n']}</td>"
                f"<td>{_percent(part['chance'])}</td>"
                f"<td>{_percent(found['unparsable']['share'])}</td><td>{_number(found['ece'])}</td>"
                f"<td>{_percent(found.get('reliance', {}).get('share'))}</td></tr>"
            )
    return f"<table>{''.join(rows)}</table>"


def _seen_tables(tasks: dict[str, Any]) -> list[str]:
    """Right answers by how much of the asked view was seen; nothing where none was recalled."""
    rows = []
    for task, part in tasks.items():
        for mode, found in part["modes"].items():
            for name, a in found.get("by_seen", {}).items():
                rows.append(
                    f"<tr><td>{task}</td><td>{mode}</td><td>{name}</td>"
                    f"<td><b>{_percent(a['share'])}</b></td>"
                    f"<td>{_percent(a['low'])} &ndash; {_percent(a['high'])}</td>"
                    f"<td>{a['n']}</td></tr>"
                )
    head = "<tr><th>task</th><th>mode</th><th>seen</th><th>right</th><th>95 %</th><th>n</th></tr>"
    title = "<h2>By how much of the view was seen</h2>"
    return [title, f"<table>{head}{''.join(rows)}</table>"] if rows else []


def _imagination_table(tasks: dict[str, Any]) -> str:
    rows = ["<tr><th>task</th><th>variant</th><th>PSNR dB</th><th>SSIM</th><th>in place</th>"
            "<th>right side</th><th>map IoU</th><th>inpainting IoU</th></tr>"]  # fmt: skip
    for task, part in tasks.items():
        groups = {"all": part.get("imagination"), **part.get("imagination_by_variant", {})}
        for name, found in groups.items():
            if not found:
                continue
            place, side = (found.get(f"object_{k}", {}).get("share") for k in ("present", "side"))
            iou, base = (found.get(f"map_{k}", {}).get("iou") for k in ("drawn", "inpainted"))
            rows.append(
                f"<tr><td>{task}</td><td>{html.escape(name)}</td>"
                f"<td>{_number(found['psnr_db'], 1)}</td><td>{_number(found['ssim'])}</td>"
                f"<td>{_percent(place)}</td><td>{_percent(side)}</td>"
                f"<td>{_number(iou)}</td><td>{_number(base)}</td></tr>"
            )
    return f"<table>{''.join(rows)}</table>"


def _curves(result: dict[str, Any], records: Sequence[Record]) -> str:
    """A reliability diagram per task: confidence to the right, accuracy up."""
    calibration = {name: result[name] for name in ("temperature", "temperature_by_seen")}
    style = AskingStyle.from_dict(calibration)
    out = []
    for task, part in result["tasks"].items():
        own = [r for r in records if r.task.value == task]
        lines = []
        for mode, colour in ((Mode.ANSWER, "var(--accent)"), (Mode.IMAGINE, "var(--good)")):
            if mode.value not in part["modes"]:
                continue
            read = [r for r in own if r.replies[mode].log_probabilities]
            bins = reliability(
                [confidence_of(r, mode, style) for r in read],
                [r.right(mode) for r in read],
            )
            points = " ".join(
                f"{20 + 160 * b.confidence:.1f},{180 - 160 * b.accuracy:.1f}" for b in bins
            )
            lines.append(
                f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=2 />"
            )
        out.append(
            "<svg width=200 height=210 role=img><line x1=20 y1=180 x2=180 y2=20 "
            f"stroke='var(--line)' />{''.join(lines)}<text x=20 y=202 font-size=12 "
            f"fill='var(--dim)'>{task}</text></svg>"
        )
    return f"<div class=row>{''.join(out)}</div><p class=dim>blue answer, green imagine</p>"


def _card(shown: Shown) -> str:
    example, record = shown.example, shown.record
    figures = [_figure(image, f"input {i + 1}") for i, image in enumerate(example.question.images)]
    if shown.imagined is not None:
        figures.append(_figure(shown.imagined, "imagined"))
    if example.true_view.size:
        figures.append(_figure(example.true_view, "true view"))
    said = []
    for mode, reply in record.replies.items():
        text = "unparsable" if reply.index is None else example.question.options[reply.index]
        kind = "good" if record.right(mode) else "bad"
        sure = f" {max(reply.probabilities()):.0%}" if reply.log_probabilities else ""
        said.append(f"{mode.value}: <b class={kind}>{html.escape(text)}</b>{sure}")
    return (
        f"<article><div class=row>{''.join(figures)}</div><p>{html.escape(example.question.text)}"
        f"</p><p class=dim>{html.escape(' / '.join(example.question.options))} &rarr; "
        f"{html.escape(example.answer)}</p><p>{' &middot; '.join(said)}</p>"
        f"<p class=dim>{example.question.task.value}, {html.escape(example.variant)}, "
        f"{html.escape(example.subcategory)}, scene {example.scene_seed}</p></article>"
    )


def _figure(image: np.ndarray, caption: str) -> str:
    data = base64.b64encode(encode_image(image)).decode()
    return (
        f"<figure><img width=112 src='data:image/png;base64,{data}' alt='{caption}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _percent(value: object) -> str:
    return "&ndash;" if value is None else f"{100 * float(str(value)):.1f} %"


def _number(value: object, digits: int = 3) -> str:
    return "&ndash;" if value is None else f"{float(str(value)):.{digits}f}"

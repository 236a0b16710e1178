"""The report of the fine-tuning demo: one HTML file with its pictures inside.

In: what the chain found, as `finetune.json` holds it, and the folder of its pictures. Every number
and every sentence on the page comes from there.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ipt_ros.demo.fine_tuning.verdict import changes_of

#: What this page needs beside the style of the demo's other report.
_STYLE = """
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 12px 0 0; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.answered { font-size: 22px; font-weight: 650; margin-bottom: 8px; }
.options { color: var(--soft); font-size: 14px; }
"""
#: Colours of the bar of stages, one after another.
_COLOURS = ("#98a2b3", "#7dd3c0", "#5b8def", "#b784f0", "#f2a65a", "#e57373")


def write_page(path: Path, found: Mapping[str, Any], pictures: Path) -> Path:
    """Write the report and return its path."""
    style = files("ipt_ros.demo").joinpath("report.css").read_text(encoding="utf-8")
    houses = found["houses"]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>What the robot learned from its own drives</title><style>{style}{_STYLE}</style>",
        "</head><body><h1>What the robot learned from its own drives</h1>",
        "<p>A simulated robot drove through houses of a look that the shipped weights have never "
        "seen, and recorded what it saw. Its recordings became questions, the weights were "
        "fine-tuned on them, and both were asked about houses that nothing was learned from.</p>",
        f"<p class='soft'>Weights <code>{_text(found['weights'])}</code> · look "
        f"<code>{_text(found['look'])}</code> · {len(houses['train'])} houses to learn from, "
        f"{len(houses['held out'])} held out · {found['seconds']:.0f} s in this run</p>",
        _answer(found),
        _recorded(found),
        _samples(found["converted"]["samples"], pictures),
        _deployed(found["deployed"], pictures),
        _stages(found["stages"]),
        "</body></html>",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _answer(found: Mapping[str, Any]) -> str:
    verdict = found["verdict"]
    first, *others = verdict["sentences"]
    rows = [
        "<tr><th>task</th><th>mode</th><th class='number'>before</th><th class='number'>after</th>"
        "<th class='number'>gain</th><th class='number'>95 %, over places</th>"
        "<th class='number'>questions</th><th class='number'>places</th></tr>"
    ]
    for c in changes_of(found["evaluated"]["compared"]):
        kind = " right" if c.gained else " wrong" if c.lost else ""
        rows.append(
            f"<tr><td>{_text(c.task)}</td><td>{_text(c.mode)}</td>"
            f"<td class='number'>{100 * c.before:.1f} %</td>"
            f"<td class='number'>{100 * c.after:.1f} %</td>"
            f"<td class='number{kind}'>{100 * c.difference:+.1f}</td>"
            f"<td class='number'>{100 * c.low:+.1f} to {100 * c.high:+.1f}</td>"
            f"<td class='number'>{c.n}</td><td class='number'>{c.groups}</td></tr>"
        )
    said = "right" if verdict["gain"] else "wrong"
    return _card(
        "Was it worth it?",
        f"<p class='answered {said}'>{_text(first)}</p>"
        + "".join(f"<p>{_text(sentence)}</p>" for sentence in others)
        + f"<table>{''.join(rows)}</table>",
        "ipt-eval --before",
    )


def _recorded(found: Mapping[str, Any]) -> str:
    drives = found["recorded"]["drives"]
    held = set(found["houses"]["held out"])
    rows = [
        "<tr><th>house</th><th>for</th><th class='number'>rooms</th><th class='number'>places"
        "</th><th class='number'>skipped</th><th class='number'>driven</th>"
        "<th class='number'>simulated</th><th class='number'>pictures</th>"
        "<th class='number'>MB</th></tr>"
    ]
    rows += [
        f"<tr><td>{d['seed']}</td><td>{'asking' if d['seed'] in held else 'learning'}</td>"
        f"<td class='number'>{d['rooms']}</td><td class='number'>{d['reached']} of {d['places']}"
        f"</td><td class='number'>{d['skipped']}</td><td class='number'>{d['driven_m']:.0f} m</td>"
        f"<td class='number'>{d['simulated_s']:.0f} s</td><td class='number'>{d['pictures']}</td>"
        f"<td class='number'>{d['megabytes']:.0f}</td></tr>"
        for d in drives
    ]
    converted = found["converted"]
    lines = []
    for name, folder in (("to learn from", "data"), ("held out", "held_out")):
        dropped = converted["dropped"][folder]
        left = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
        lines.append(
            f"<p>Pictures {name}: {converted['frames'][folder]} became frames; left out: "
            f"{_text(left)}.</p>"
        )
    counts = "; ".join(
        f"{name}: " + (", ".join(f"{n} {task}" for task, n in one.items()) or "none")
        for name, one in (
            ("learned from", converted["train"]["rows"]),
            ("places kept for validation", converted["validation"]["rows"]),
            ("held-out houses", converted["held out"]["rows"]),
        )
    )
    trained = found["trained"]
    lines.append(f"<p>Questions: {_text(counts)}.</p>")
    lines.append(
        f"<p>Beside them {found['rendered']['rows']} rendered ones; {trained['steps']} steps."
        f" {_text(_losses(trained['losses']))}</p>"
    )
    return _card(
        "What was recorded",
        "".join(lines) + f"<table>{''.join(rows)}</table>",
        "ipt-bag convert",
    )


def _losses(losses: Mapping[str, list[float]]) -> str:
    said = [
        f"{name} {values[0]:.3f} at the first and {values[-1]:.3f} at the last step"
        for name, values in losses.items()
        if values
    ]
    return f"Losses: {'; '.join(said)}." if said else "No loss was logged."


def _samples(samples: list[dict[str, Any]], pictures: Path) -> str:
    cards = []
    for one in samples:
        options = " · ".join(
            f"<b>{_text(o)}</b>" if o == one["answer"] else _text(o) for o in one["options"]
        )
        cards.append(
            f"<h3>{_text(one['task'])}</h3><p>{_text(one['question'])}</p>"
            f"<p class='options'>{options}</p>{_pictures(one['pictures'], pictures)}"
        )
    return _card("What became of it", "".join(cards) or "<p>No row.</p>", "rows")


def _deployed(deployed: Mapping[str, Any], pictures: Path) -> str:
    titles = {
        "seen": "what the robot saw",
        "before": "imagined before",
        "after": "imagined after",
        "truth": "then it went there and looked",
    }
    cards = []
    for one in deployed["asked"]:
        said = "; ".join(f"{name}: {_said(a)}" for name, a in one["answers"].items())
        shown = {titles[what]: one["pictures"][what] for what in titles if what in one["pictures"]}
        cards.append(
            f"<p>On which side is the {_text(one['object'])} from there?</p>"
            f"<p class='soft'>{_text(said)}; truth: {_text(one['truth'])}</p>"
            f"{_pictures(shown, pictures)}"
        )
    return _card(
        "And in the robot's node",
        f"<p class='soft'>House {_text(deployed['house'])}, held out; the nodes as processes, "
        f"over DDS.</p>{''.join(cards)}",
        "ImagineView",
    )


def _said(answer: Mapping[str, Any]) -> str:
    if answer["error_code"]:
        return f"error {answer['error_code']}: {answer['error_msg']}"
    sure = answer["confidence"]
    return answer["said"] + ("" if sure is None else f" ({sure:.2f})")


def _stages(stages: list[dict[str, Any]]) -> str:
    total = max(sum(s["seconds"] for s in stages), 1e-9)
    colours = [_COLOURS[k % len(_COLOURS)] for k in range(len(stages))]
    bars = "".join(
        f"<i style='width:{100 * s['seconds'] / total:.2f}%;background:{colour}'></i>"
        for s, colour in zip(stages, colours, strict=True)
    )
    keys = "".join(
        f"<b style='background:{colour}'></b>{_text(s['name'])} {s['seconds']:.0f} s"
        + ("" if s["repeated"] else " (before)")
        for s, colour in zip(stages, colours, strict=True)
    )
    return _card(
        "How long it took",
        f"<div class='stages'>{bars}</div><div class='key'>{keys}</div>",
        f"{total:.0f} s in all stages",
    )


def _card(title: str, body: str, action: str) -> str:
    return (
        f"<section class='card'><div class='top'><h2>{_text(title)}</h2>"
        f"<span class='action'>{_text(action)}</span></div>{body}</section>"
    )


def _pictures(names: Mapping[str, str], folder: Path) -> str:
    figures = []
    for caption, name in names.items():
        data = base64.b64encode((folder / name).read_bytes()).decode()
        figures.append(
            f"<figure class='small'><img alt='{_text(caption)}' "
            f"src='data:image/png;base64,{data}'><figcaption>{_text(caption)}</figcaption>"
            "</figure>"
        )
    return f"<div class='pictures'>{''.join(figures)}</div>"


def _text(value: str) -> str:
    return html.escape(value, quote=True)

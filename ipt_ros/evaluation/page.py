"""An evaluation as one HTML page, pictures inside, to be sent to a colleague.

In: a summary, the records it was made of, and the folder of their pictures. Nothing is computed
here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2

from ipt_ros.demo.report import data_uri
from ipt_ros.evaluation.records import ANSWERED, Record

#: Side of the calibration plot and its margin, pixels.
PLOT_PX, MARGIN_PX = 240, 34


def page(found: dict[str, Any], records: Sequence[Record], folder: Path, shown: int) -> str:
    """shown: at most so many examples."""
    style = files("ipt_ros.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    worlds, models = ", ".join(found["worlds"]), ", ".join(found["models"]) or "no model answered"
    recorded = found.get("simulator") == "bag"
    title = "Evaluation on a recording" if recorded else "Evaluation in simulation"
    where = "played" if recorded else f"simulator {_text(found.get('simulator', 'unknown'))}"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><style>{style}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p class='dim'>{found['episodes']} questions in {_text(worlds)}; model {_text(models)}"
        f"; {where}</p>",
        "<h2>Accuracy</h2>",
        "<p class='dim'>With 95 % Wilson intervals. Answered: of the answers that were given. "
        "All: of all questions, where none given is none right. Had all been answered: what the "
        "withheld replies would have said counts too.</p>",
        _accuracy(found["tasks"]),
        "<h2>By how much was in view before</h2>",
        _grouped(found["tasks"], "by_share_seen"),
        "<h2>By what was asked</h2>",
        _grouped(found["tasks"], "by_kind"),
        "<h2>By world</h2>",
        _rows((), found["by_world"]),
        "<h2>Imagined views</h2>",
        _imagination(found["imagination"]),
        "<h2>Imagined space</h2>",
        _map(found["map"]),
        "<h2>Calibration</h2>",
        _calibration(found["calibration"]),
        "<h2>Latency</h2>",
        _latency(found["latency_s"]),
        "<h2>Abstentions</h2>",
        _abstentions(found["abstentions"]),
        "<h2>Examples</h2>",
        _examples(records, folder, shown),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _accuracy(tasks: dict[str, Any]) -> str:
    rows = [
        (
            task,
            str(part["n"]),
            _share(part["answered"]),
            _share(part["all"]),
            _share(part["had_all_been_answered"]),
            _percent(part["chance"]),
            _number(part["ece"], 3),
        )
        for task, part in tasks.items()
    ]
    head = ("task", "n", "answered", "all", "had all been answered", "chance", "ECE")
    return _table(head, rows)


def _grouped(tasks: dict[str, Any], entry: str) -> str:
    groups = {(task, name): part for task, of in tasks.items() for name, part in of[entry].items()}
    return _rows(("task",), groups)


def _rows(head: Sequence[str], groups: dict[Any, dict[str, Any]]) -> str:
    rows = [
        (
            *(name if isinstance(name, tuple) else (name,)),
            str(part["n"]),
            _share(part["answered"]),
            _share(part["had_all_been_answered"]),
        )
        for name, part in groups.items()
    ]
    return _table((*head, "", "n", "answered", "had all been answered"), rows)


def _imagination(found: dict[str, Any]) -> str:
    if not found["n"]:
        return "<p>No view was drawn whose true view was seen afterwards.</p>"
    row = (
        str(found["n"]),
        _number(found["psnr_db"], 1),
        _percent(found["seen_share"]),
        _number(found["error_seen"], 1),
        _number(found["error_imagined"], 1),
    )
    head = ("views", "PSNR, dB", "remembered pixels", "their error", "error of imagined pixels")
    note = "<p class='dim'>Errors are root mean squares, pixels from 0 to 255.</p>"
    return _table(head, [row]) + note


def _map(found: dict[str, Any]) -> str:
    if not found["cells"]:
        return f"<p>{found['stands']} stands with claims about unseen cells.</p>"
    row = (
        str(found["stands"]),
        str(found["cells"]),
        _number(found["iou"], 3),
        _percent(found["occupied_share"]),
        _number(found["cost_occupied"], 1),
        _number(found["cost_free"], 1),
    )
    head = ("stands", "unseen cells claimed", "IoU of occupied", "truly occupied",
            "mean cost where occupied", "where free")  # fmt: skip
    return _table(head, [row])


def _calibration(found: dict[str, Any]) -> str:
    """Stated probability to the right, how often right upwards; a disc's area is its count."""
    inner = PLOT_PX - 2 * MARGIN_PX

    def at(x: float, y: float) -> tuple[float, float]:
        return MARGIN_PX + inner * x, PLOT_PX - MARGIN_PX - inner * y

    total = max(1, found["n"])
    discs = []
    for one in found["bins"]:
        x, y = at(one["confidence"], one["accuracy"])
        radius = 3 + 18 * (one["count"] / total) ** 0.5
        told = (
            f"{one['count']} answers: stated {one['confidence']:.2f}, right {one['accuracy']:.2f}"
        )
        discs.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}'><title>{told}</title></circle>"
        )
    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    ticks = "".join(
        f"<text x='{at(v, 0)[0]:.0f}' y='{y0 + 15:.0f}' text-anchor='middle'>{v:g}</text>"
        f"<text x='{x0 - 6:.0f}' y='{at(0, v)[1] + 4:.0f}' text-anchor='end'>{v:g}</text>"
        for v in (0.0, 0.5, 1.0)
    )
    return (
        f"<svg width='{PLOT_PX}' height='{PLOT_PX}' role='img' aria-label='calibration'>"
        f"<rect x='{x0}' y='{y1}' width='{inner}' height='{inner}' class='frame'/>"
        f"<line x1='{x0}' y1='{y0}' x2='{x1}' y2='{y1}' class='ideal'/>{''.join(discs)}{ticks}"
        f"<text x='{PLOT_PX / 2}' y='{PLOT_PX - 3}' text-anchor='middle'>stated probability</text>"
        f"</svg><p class='dim'>{found['n']} replies with probabilities, withheld ones included; "
        f"expected calibration error {_number(found['ece'], 3)}</p>"
    )


def _latency(found: dict[str, Any]) -> str:
    rows = [
        (stage, str(one["n"]), f"{1000 * one['median']:.0f}", f"{1000 * one['p95']:.0f}")
        for stage, one in found.items()
    ]
    return _table(("stage", "n", "median, ms", "95th percentile, ms"), rows)


def _abstentions(found: dict[str, Any]) -> str:
    rows = [(name, str(number)) for name, number in found["outcomes"].items() if number]
    rows += [(f"error {code}", str(number)) for code, number in found["errors"].items()]
    gain = found["gain"]
    told = "" if gain is None else f", {100 * gain:+.1f} points"
    return _table(("outcome", "questions"), rows) + (
        f"<p>Right of those answered: {_share(found['answered'])}. Had all been answered: "
        f"{_share(found['had_all_been_answered'])}{told}.</p>"
    )


def _examples(records: Sequence[Record], folder: Path, shown: int) -> str:
    """Those with pictures, evenly over the run."""
    with_pictures = [r for r in records if list((folder / _file(r.id)).glob("*.png"))]
    step = max(1, -(-len(with_pictures) // max(1, shown)))
    chosen = with_pictures[::step][:shown]
    return f"<div class='cards'>{''.join(_card(r, folder) for r in chosen)}</div>"


def _card(record: Record, folder: Path) -> str:
    figures = []
    for path in sorted((folder / _file(record.id)).glob("*.png")):
        picture = cv2.imread(str(path))
        if picture is None:
            continue  # half written by a process that was killed
        uri = data_uri(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        caption = _text(path.stem.partition(" ")[2])
        figures.append(f"<figure><img alt='{caption}' src='{uri}'><figcaption>{caption}"
                       "</figcaption></figure>")  # fmt: skip
    if record.task == "map":
        score = record.mask
        iou = score.both / score.either if score is not None and score.either else None
        words = f"<p>Imagined space, IoU {_number(iou, 3)}</p>"
    else:
        kind = "good" if record.right else "bad" if record.outcome == ANSWERED else "dim"
        said = record.said or f"{record.outcome}; would have said {record.would_say or 'nothing'}"
        stated = ", ".join(
            f"{o} {p:.2f}" for o, p in zip(record.options, record.probabilities, strict=False)
        )
        words = (
            f"<p>{_text(record.question)}</p><p><b class='{kind}'>{_text(said)}</b>, truth "
            f"{_text(record.truth)}</p><p class='dim'>{_text(stated)}</p>"
        )
    place = f"<p class='dim'>{_text(record.id)} {_text(record.mode)}</p>"
    return f"<article><div class='row'>{''.join(figures)}</div>{words}{place}</article>"


def _file(name: str) -> str:
    return name.replace("/", "~")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{_text(one)}</th>" for one in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in map(_cell, row)) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: str) -> str:
    return value if value.startswith("<b>") else _text(value)


def _share(found: dict[str, Any]) -> str:
    if not found["n"]:
        return "none"
    return (
        f"<b>{_percent(found['share'])}</b> ({_percent(found['low'])} to "
        f"{_percent(found['high'])}; {found['k']} of {found['n']})"
    )


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _text(value: str) -> str:
    return html.escape(value, quote=True)

"""The demo's report: one HTML file with its pictures inside, to be sent to a colleague."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ipt_model.weights.asking_style import seen_words
from ipt_ros.answering.tint import tinted

if TYPE_CHECKING:
    from ipt_ros.demo.scenario import Card
    from ipt_ros.demo.space import Space

#: The task of training that each action asks.
TASKS = {
    "ImagineView": "perspective",
    "AskSpatial": "perspective",
    "TracePath": "clearance",
    "CountObjects": "counting",
}
#: Grey level of the legend's remembered ground; its imagined ground is the same grey, tinted.
LEGEND_GREY = 190
#: Stages in the order they happen, with the colour of their share in the bar.
STAGES = (
    ("queue_s", "wait", "#98a2b3"),
    ("preprocess_s", "look", "#7dd3c0"),
    ("context_s", "read", "#5b8def"),
    ("imagine_s", "imagine", "#b784f0"),
    ("answer_s", "answer", "#f2a65a"),
)


def write_report(
    path: Path, cards: Sequence[Card], space: Space, setting: dict[str, Any], wall_s: float
) -> Path:
    style = files("ipt_ros.demo").joinpath("report.css").read_text(encoding="utf-8")
    objects = ", ".join(setting["objects"])
    verdicts = [verdict(card.record) for card in cards]
    counted = ", ".join(f"{verdicts.count(v)} {v}" for v in ("right", "wrong", "withheld"))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>What the robot imagined</title><style>{style}</style></head><body>",
        "<h1>What the robot imagined</h1>",
        "<p>A simulated robot asked about space it could not see. Each answer below came from a "
        "node in a process of its own, over DDS, from camera images whose stamps it names.</p>",
        f"<p class='soft'>Model <code>{_text(setting['model_id'])}</code> · world "
        f"{_text(setting['level'])} {setting['seed']} with {_text(objects)} · "
        f"answers: {counted} · {wall_s:.0f} s from start to report</p>",
    ]
    if "untrained" in setting["model_id"]:
        parts.append(
            "<div class='notice'><b>This model is untrained.</b> Its weights are random, so its "
            "pictures are noise and its answers are guesses. What the page shows is that all "
            "between camera and planner works.</div>"
        )
    parts += [_card(card, setting["measured"]) for card in cards]
    parts.append(_space(space))
    parts.append("</body></html>")
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _card(card: Card, measured: dict[str, Any]) -> str:
    r = card.record
    failed = r["error_code"] != 0
    said = f"error {r['error_code']}: {r['error_msg']}" if failed else r["said"]
    columns = "".join(
        f"<div><h3>{title}</h3>{_pictures(pictures, empty)}{legend}</div>"
        for title, pictures, empty, legend in (
            ("what the robot saw", card.seen, "", ""),
            ("what the model imagined", card.imagined, "nothing was drawn", _legend(r)),
            ("the truth", card.truth, "", ""),
        )
    )
    return f"""<section class='card'>
<div class='top'><h2>{_text(card.title)}</h2><span class='action'>
{r["action"]} · mode {r["mode"]} · seed {r["seed"]} · {r["flow_steps"]} flow steps</span></div>
<p class='question'>{_text(r["question"])}</p>
<div class='columns'>{columns}</div>
<div class='answer'><div><span class='said {verdict(r)}'>{_text(str(said))}</span>
<p class='soft'>truth: {_text(str(r["truth"]))}{_usually(r, measured)}</p>
{_before(r)}{_options(r)}</div>
<div>{_stages(r["times"])}</div></div>
</section>"""


def _legend(record: dict[str, Any]) -> str:
    """What the tint says, where a picture is tinted."""
    if not record["seen_share"]:
        return ""
    mixed = tinted(np.full((1, 1, 3), LEGEND_GREY, np.uint8), np.zeros((1, 1), bool))[0, 0]
    colours = (("remembered", [LEGEND_GREY] * 3), ("imagined", mixed))
    keys = "".join(
        f"<span><b style='background:rgb({r},{g},{b})'></b>{name}</span> "
        for name, (r, g, b) in colours
    )
    return f"<div class='key legend'>{keys}</div>"


def verdict(record: dict[str, Any]) -> str:
    """right, wrong, or withheld by the guard, by what was said: a path that is seen to be blocked
    is answered whatever the guard thinks of the drawing, and `unknown` is a path that is
    withheld."""
    if record["said"] == "unknown" or record["said"].startswith("abstained"):
        return "withheld"
    return "right" if record["said"] == record["truth"] else "wrong"


def _before(record: dict[str, Any]) -> str:
    """What came of the drawing, where the answer was read without it."""
    why = record.get("withheld_before")
    if not why:
        return ""
    return (
        f"<p class='soft'>Withheld after the drawing: {_text(why)}. So it was asked again of what "
        "was seen alone.</p>"
    )


def _usually(record: dict[str, Any], measured: dict[str, Any]) -> str:
    """How often such answers are right, where the weights carry their evaluation: those of views
    of which as much was seen, if any of it was."""
    found, mode = measured.get(TASKS.get(record["action"], ""), {}), record["mode"]
    usual, what = found.get(mode), ""
    if share := record["seen_share"]:
        seen = seen_words(share)
        usual, what = found.get("by_seen", {}).get(mode, {}).get(seen), f", with {seen} seen,"
    if usual is None:
        return ""
    return (
        f" · such answers{what} are right {100 * usual['share']:.0f} % of the time "
        f"(n = {usual['n']}, chance {100 * found['chance']:.0f} %)"
    )


def _space(space: Space) -> str:
    """What a planner got, beside the truth."""
    r = space.record
    if space.known is None or space.mask is None or space.truth is None:
        columns = "<p class='soft'>No mask came: the guard held the drawings back.</p>"
        said = "nothing was claimed"
    else:
        columns = "".join(
            f"<div><h3>{title}</h3>{_pictures([(caption, picture)], '')}</div>"
            for title, caption, picture in (
                ("what the robot saw", "the map so far", space.known),
                ("what the planner got", "claims: green free, orange occupied", space.mask),
                ("the truth", "the whole map", space.truth),
            )
        )
        said = (
            f"{r.claims} unseen cells claimed; cost {r.mean_where_occupied:.0f} on average where "
            f"something stands, {r.mean_where_free:.0f} where nothing does, never above "
            f"{r.highest}; {r.seen_cells_touched} seen cells touched"
        )
    gone = "never" if math.isnan(r.taken_back_s) else f"{r.taken_back_s:.1f} s after"
    return f"""<section class='card'>
<div class='top'><h2>And on the map, for the planner?</h2><span class='action'>
~/imagined_space · nav_msgs/OccupancyGrid</span></div>
<div class='columns'>{columns}</div>
<p class='soft'>{_text(said)}. Taken back {gone} it was switched off.</p>
</section>"""


def _options(record: dict[str, Any]) -> str:
    pairs = zip(record["options"], record["option_probabilities"], strict=False)
    return "".join(
        f"<div class='option'><span>{_text(o)}</span><div><i style='width:{100 * p:.1f}%'></i>"
        f"</div><span>{p:.2f}</span></div>"
        for o, p in pairs
    )


def _stages(times: dict[str, float]) -> str:
    total = max(sum(times[name] for name, _, _ in STAGES), 1e-9)
    bars = "".join(
        f"<i style='width:{100 * times[name] / total:.2f}%;background:{colour}'></i>"
        for name, _, colour in STAGES
    )
    keys = "".join(
        f"<b style='background:{colour}'></b>{label} {1000 * times[name]:.0f} ms"
        for name, label, colour in STAGES
    )
    return (
        f"<div class='soft'>goal to answer: {1000 * times['total_s']:.0f} ms</div>"
        f"<div class='stages'>{bars}</div><div class='key'>{keys}</div>"
    )


def _pictures(pictures: Sequence[tuple[str, np.ndarray]], empty: str) -> str:
    if not pictures:
        return f"<p class='soft'>{empty}</p>"
    figures = []
    for caption, picture in pictures:
        small = " class='small'" if max(picture.shape[:2]) < 200 else ""
        figures.append(
            f"<figure{small}><img alt='{_text(caption)}' src='{data_uri(picture)}'>"
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )
    return f"<div class='pictures'>{''.join(figures)}</div>"


def data_uri(picture: np.ndarray) -> str:
    """H x W x 3 uint8 RGB as a PNG inside an address."""
    done, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError(f"a picture of shape {picture.shape} could not be written as PNG")
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()


def _text(value: str) -> str:
    return html.escape(value, quote=True)

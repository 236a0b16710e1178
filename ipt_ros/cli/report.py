"""What comes back of a goal, for programs (plain values for JSON) and for people (a table)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ipt_ros.conversions import stamp_to_ns
from ipt_ros.errors import ErrorCode
from ipt_ros.senses.images import image_to_rgb

VERDICTS = ("unknown", "clear", "blocked")


def error_line(result: Any) -> str:
    try:
        name = ErrorCode(result.error_code).name
    except ValueError:
        name = "error"
    return f"{name} ({result.error_code}): {result.error_msg}"


def report_of(verb: str, result: Any, file: str = "") -> dict[str, Any]:
    """Everything but the pixels. A figure that was not measured is null."""
    if result.error_code:
        return {"error_code": result.error_code, "error_msg": result.error_msg}
    answer, view = result.answer, result.imagined_view
    times = answer.times
    report: dict[str, Any] = {
        "error_code": 0,
        "question": answer.question,
        "answer": answer.answer,
        "abstained": answer.abstained,
        "abstain_reason": answer.abstain_reason,
        "confidence": _known(answer.confidence) if answer.options else None,
        "options": dict(
            zip(answer.options, map(_known, answer.option_probabilities), strict=False)
        ),
    }
    if verb == "count":
        report["count"] = result.count
    if verb == "path":
        verdict = result.verdict
        report["verdict"] = VERDICTS[verdict.verdict]
        report["probability_blocked"] = _known(verdict.probability_blocked)
        report["first_blocked_pose"] = verdict.first_blocked_pose
        report["risk"] = [_known(r) for r in verdict.risk]
    if view.image.height:
        at = view.pose.pose.position
        report["imagined_view"] = {
            "width": view.image.width,
            "height": view.image.height,
            "frame": view.pose.header.frame_id,
            "camera_at": [at.x, at.y, at.z] if view.pose.header.frame_id else None,
            "overlap": _known(view.overlap),
            "seen_share": _known(view.seen_share),
            "consistency": _known(view.consistency),
            "file": file,
        }
    report["times_s"] = {
        name.removesuffix("_s"): getattr(times, name)
        for name in times.get_fields_and_field_types()
    }
    of = answer.provenance
    report["provenance"] = {
        "model_id": of.model_id,
        "model_hash": of.model_hash,
        "mode": of.mode,
        "seed": of.seed,
        "flow_steps": of.flow_steps,
        "source_stamps_ns": [stamp_to_ns(s) for s in of.source_stamps],
    }
    return report


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows(report):
        table.add_row(name, value)
    Console(markup=False, highlight=False).print(table)


def rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values, the answer first."""
    found = [("question", report["question"])]
    if "verdict" in report:
        blocked = report["probability_blocked"]
        chance = "" if blocked is None else f", blocked with {100 * blocked:.0f} %"
        found.append(("path", report["verdict"] + chance))
        risk = ["-" if r is None else f"{r:.2f}" for r in report["risk"]]
        found.append(("risk per pose", " ".join(risk)))
        if report["first_blocked_pose"] >= 0:
            found.append(("first blocked", f"pose {report['first_blocked_pose']}"))
    if report["abstained"]:
        found.append(("abstained", report["abstain_reason"]))
    else:
        found.append(("answer", report["answer"]))
    for option, share in report["options"].items():
        shown = "    -" if share is None else f"{100 * share:5.1f} %"
        found.append(("", f"{shown}  {option}"))
    view = report.get("imagined_view")
    if view:
        size = f"{view['width']} x {view['height']} px"
        seen = [
            f"{name} {view[name]:.2f}"
            for name in ("overlap", "seen_share", "consistency")
            if view[name] is not None
        ]
        found.append(("imagined view", ", ".join([size, *seen])))
        if view["file"]:
            found.append(("written to", view["file"]))
    times = [f"{name} {value:.2f}" for name, value in report["times_s"].items() if value >= 0.005]
    found.append(("seconds", ", ".join(times)))
    of = report["provenance"]
    found.append(("model", f"{of['model_id']}, mode {of['mode']}, seed {of['seed']}"))
    return found


def write_picture(path: str | None, view: Any) -> str:
    """Write the imagined view; an empty name when there is none to write."""
    import cv2

    if not path or not view.image.height:
        return ""
    rgb = image_to_rgb(view.image)
    done, data = cv2.imencode(Path(path).suffix or ".png", rgb[:, :, ::-1])
    if not done:
        raise OSError(f"--out {path}: the picture cannot be written in this format; try .png")
    Path(path).write_bytes(data.tobytes())
    return path

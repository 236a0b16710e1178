"""`python -m ipt_model`: one question from the command line, without ROS.

Pictures are files, the answer goes to the terminal (or as JSON to a program), the imagined view to
a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .question import Answer, Mode, Outcome, Progress, Question, QuestionError, Task
from .weights import DEFAULT_MODEL


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 answered, 1 no readable answer or out of time, 2 cannot be asked."""
    options = _parser().parse_args(arguments)
    try:
        question = Question(
            Task(options.task),
            tuple(read_picture(path) for path in options.image),
            options.question,
            tuple(options.options),
            true_view=read_picture(options.given) if options.given else None,
            view_size=tuple(options.size) if options.size else None,
            think=options.think,
        )
        from .asking.imaginer import (
            Imaginer,  # late: torch and transformers take seconds to import
        )

        imaginer = Imaginer.from_pretrained(
            options.model,
            options.device,
            options.dtype,
            options.quantization,
            options.parts,
            options.style,
            options.weights,
        )
        if options.budget is not None:
            imaginer.warm_up()
        answer = imaginer.ask(
            question,
            Mode(options.mode),
            budget_s=options.budget,
            seed=options.seed,
            on_progress=_show if sys.stderr.isatty() else None,
            k=options.k,
            flow_steps=options.steps,
        )
    except (QuestionError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    files = [write_picture(options.out, view, i) for i, view in enumerate(answer.imagined_views)]
    report = json_report(question, answer, files if options.out else [])
    print(json.dumps(report, indent=1) if options.json else text_report(report))
    return 0 if answer.outcome is Outcome.ANSWERED else 1


def read_picture(path: Path) -> np.ndarray:
    """H x W x 3 uint8 RGB of a picture file; transparency and gray are turned into plain RGB."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise QuestionError(f"{path}: {error}") from error


def write_picture(path: Path | None, view: np.ndarray, index: int) -> str:
    """Write the view; from the second on with a number before the suffix."""
    if path is None:
        return ""
    from PIL import Image

    path = path if index == 0 else path.with_name(f"{path.stem}_{index}{path.suffix}")
    Image.fromarray(view).save(path)
    return str(path)


def json_report(question: Question, answer: Answer, files: list[str]) -> dict[str, object]:
    """Everything of the answer but the pixels."""
    probabilities = zip(question.options, answer.option_probabilities, strict=False)
    provenance = asdict(answer.provenance)
    return {
        "outcome": answer.outcome.value,
        "text": answer.text,
        "option_probabilities": dict(probabilities),
        "option_mass": answer.option_mass,
        "think": answer.think,
        "reply": answer.reply,
        "imagined": files,
        "times": asdict(answer.times),
        "provenance": {**provenance, "mode": answer.provenance.mode.value},
    }


def text_report(report: dict[str, object]) -> str:
    """For people."""
    lines = [f"{report['outcome']}: {report['text'] or '-'}"]
    probabilities = report["option_probabilities"]
    assert isinstance(probabilities, dict)
    lines += [f"  {100 * p:5.1f} %  {option}" for option, p in probabilities.items()]
    times, provenance = report["times"], report["provenance"]
    assert isinstance(times, dict) and isinstance(provenance, dict)
    if report["think"]:
        lines.append(f"  thought: {report['think']}")
    if report["outcome"] == Outcome.UNPARSABLE.value:
        lines.append(f"  wrote: {report['reply']!r}")
    lines += [f"  view: {name}" for name in report["imagined"]]  # type: ignore[attr-defined]
    stages = ", ".join(f"{name[:-2]} {s:.2f} s" for name, s in times.items() if s)
    lines.append(f"  {provenance['model_id']}, mode {provenance['mode']}, {stages}")
    return "\n".join(lines)


def _show(progress: Progress) -> bool:
    print(f"\r{progress.stage:<12} {100 * progress.fraction:3.0f} %", end="\r", file=sys.stderr)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ipt_model", description="Ask one spatial question about pictures."
    )
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, help="shipped model or folder with weights")
    add("--image", type=Path, nargs="*", default=[], help="what the camera saw, in order")
    add("--question", required=True)
    add("--options", nargs="*", default=[], help="possible answers; none: a free answer")
    add("--task", default=Task.FREE.value, choices=[t.value for t in Task])
    # nothing is recalled from files: that takes depth and poses
    modes = [m.value for m in Mode if m is not Mode.RECALL]
    add("--mode", default=Mode.AUTO.value, choices=modes)
    add("--given", type=Path, help="the true unseen view, for --mode given")
    add("--think", help="sentence that introduces the drawing (default: the model's own)")
    add("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of the imagined view")
    add("--steps", type=int, help="flow steps (default: the model's own)")
    add("--budget", type=float, help="seconds; the model is warmed up first")
    add("--seed", type=int, default=0)
    add("-k", type=int, default=1, help="imagined views")
    add("--out", type=Path, help="file for the imagined view")
    add("--json", action="store_true", help="print JSON")
    add("--device", default="auto")
    add("--dtype", default="auto")
    add("--quantization", choices=["int8", "int4"])
    add("--parts", default="all", choices=["all", "answer"], help="answer: only what never draws")
    add("--style", help="how to ask: a name of `ipt-style list`, or a JSON file")
    add("--weights", default="", choices=["", "ema", "model"], help="where a folder has both")
    return parser


if __name__ == "__main__":
    sys.exit(main())

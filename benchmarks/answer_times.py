"""How long answers of a small model take on this machine, per mode: `python
benchmarks/answer_times.py`.

Asks one model the questions of each task's shape (one picture, or four) in every mode and writes
wall and processor seconds to JSON. A model that was not trained writes up to its word limit;
`reply` says whether that was so, and `quick_reply` repeats the question with replies cut at one
word, which is what a trained model's checked draft costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Answer, Mode, Question, Task
from ipt_model.wording.phrasing import Motion, counting_question, perspective_question


def questions() -> dict[str, Question]:
    """One question with one picture, one with four."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    side = perspective_question("side", "blue ball", Motion(1.2, 0.4, 1.05))
    count = counting_question("crate", (1, 2, 3, 4))
    return {
        "perspective": Question(
            Task.PERSPECTIVE, (pictures[0],), side.text, side.options, think="Looking."
        ),
        "counting": Question(
            Task.COUNTING, tuple(pictures), count.text, count.options, think="Looking."
        ),
    }


def measure(ask: Callable[[], Answer], repeats: int) -> dict[str, object]:
    """Median and best of several answers, after one that is not counted."""
    ask()
    wall, cpu, answers = [], [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        answers.append(ask())
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    best = answers[wall.index(min(wall))]
    stages = {k: round(v, 5) for k, v in vars(best.times).items() if v}
    return {
        "wall_median_s": round(statistics.median(wall), 5),
        "wall_best_s": round(min(wall), 5),
        "cpu_median_s": round(statistics.median(cpu), 5),
        "stages_of_best": stages,
        "flow_steps": best.provenance.flow_steps,
        "outcome": best.outcome.value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ipt-tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    imaginer = Imaginer.from_pretrained(options.model, options.device)
    curt = replace(imaginer._open, style=replace(imaginer.style, max_answer_tokens=1))
    results = []
    for reply, asked in (("as written", imaginer), ("quick_reply", Imaginer(curt))):
        for name, question in questions().items():
            for mode in (Mode.ANSWER, Mode.IMAGINE):
                row = measure(lambda a=asked, q=question, m=mode: a.ask(q, m), options.repeats)
                results.append({"task": name, "mode": mode.value, "reply": reply, **row})
                print(json.dumps(results[-1]))
    report = {
        "model": imaginer.model_id,
        "model_hash": imaginer.model_hash,
        "device": options.device,
        "processor": platform.processor() or platform.machine(),
        "threads": options.threads,
        "load_average": os.getloadavg(),
        "torch": torch.__version__,
        "results": results,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"answer_times_{options.device.replace(':', '')}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()

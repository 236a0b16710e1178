"""`ipt-eval`: ask a checkpoint every question of a dataset, in every mode, and report it.

    ipt-eval --model runs/tiny/final --data data/tiny/test --out report
    ipt-eval --model runs/tiny/final --data data/tiny/validation --calibrate
    ipt-eval --model runs/robot/final --before ipt-tiny --data data/robot/validation
    ipt-eval --model /models/mvc-mixed --tsv MVC.tsv --tsv-task counting

Writes `evaluation.json` (numbers with intervals, checkpoint and dataset hash, command line, seeds)
and `evaluation.html` (the same with 24 examples in pictures). `--calibrate` fits one temperature
per task and mode and writes them, with `calibration.json`, into the checkpoint: use validation
data. `--before` asks another checkpoint the same questions and tells the difference, with an
interval over scenes or places.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Answer, Mode, Task
from ipt_model.weights.loading import LoadedModel, find_folder
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import any_example
from ipt_training.evaluation.asking import MODES, BatchAsker, modes_of
from ipt_training.evaluation.benchmark_file import BenchmarkFile
from ipt_training.evaluation.calibration import (
    calibrate,
    calibrate_memory,
    write_calibration,
)
from ipt_training.evaluation.paired import compared
from ipt_training.evaluation.records import Record, record_of, summary
from ipt_training.evaluation.reliance import turned_answers
from ipt_training.evaluation.report import Shown, page
from ipt_training.example import Example
from ipt_training.progress import Watch
from ipt_training.shell.asking import add_options, asker_of
from ipt_training.shell.command import in_words

#: Examples read, asked and let go together; large, so that layouts fill their batches.
BLOCK = 1024
SHOWN = 24
LATENCY_EXAMPLES = 12


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-eval", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.add_argument(
        "--out", type=Path, help="folder of the report (default: beside the model)"
    )
    parser.add_argument("--modes", default=",".join(m.value for m in MODES))
    parser.add_argument("--tasks", default="", help="comma-separated, default all")
    parser.add_argument("--variants", default="", help="comma-separated, default all")
    parser.add_argument("--tsv", type=Path, help="ask a public benchmark file instead of --data")
    parser.add_argument(
        "--tsv-task",
        choices=[t.value for t in Task],
        default=Task.FREE.value,
        help="what its questions count as: decides the think sentence and the calibration",
    )
    parser.add_argument("--per-task", type=int, default=2000, help="most examples of a task")
    parser.add_argument(
        "--before", help="checkpoint folder or shipped name to compare with, on the same questions"
    )
    calibrating = parser.add_mutually_exclusive_group()
    calibrating.add_argument("--calibrate", action="store_true")
    calibrating.add_argument(
        "--calibrate-memory",
        action="store_true",
        help="add to a calibrated checkpoint what questions with a recalled view need",
    )
    parser.add_argument("--no-latency", action="store_true")
    given = parser.parse_args(arguments)
    modes = tuple(Mode(name) for name in given.modes.split(","))
    if not modes or not set(modes) <= set(MODES):
        known = ", ".join(m.value for m in MODES)
        parser.error(f"--modes: expected some of {known}, got {given.modes}")
    if (given.data is None) == (given.tsv is None):
        parser.error("expected either --data, a dataset folder, or --tsv, a benchmark file")
    if given.tsv is not None and (given.calibrate or given.calibrate_memory):
        parser.error("--tsv: a benchmark is no validation data to calibrate on")
    return in_words("ipt-eval", lambda: _evaluate(given, modes, arguments))


def _evaluate(
    given: argparse.Namespace, modes: tuple[Mode, ...], arguments: list[str] | None
) -> int:
    tasks, variants = (
        tuple(filter(None, names.split(","))) for names in (given.tasks, given.variants)
    )
    file = None if given.tsv is None else BenchmarkFile(given.tsv, Task(given.tsv_task))
    asker = asker_of(given)
    earlier = None if given.before is None else asker_of(given, given.before)
    loaded = asker.loaded
    folder = find_folder(given.model)
    began = time.perf_counter()
    if file is not None:
        count = min(file.count, given.per_task)
        facts: dict[str, Any] = {"file": given.tsv.name, "digest": file.digest()}
        with Watch("evaluation", count) as watch:
            blocks = file.blocks(BLOCK, count)
            records, shown = ask_examples(asker, blocks, SHOWN, modes, watch)
        if earlier is not None:
            with Watch("before", count) as watch:
                blocks = file.blocks(BLOCK, count)
                old, _ = ask_examples(earlier, blocks, 0, modes, watch)
    else:
        dataset = Dataset(given.data)
        rows = chosen_rows(dataset, given.per_task, tasks, variants)
        count = len(rows)
        split = dataset.facts.get("plan", {}).get("split")
        facts = {"digest": dataset.digest(), "split": split}
        with Watch("evaluation", count) as watch:
            records, shown = ask_rows(asker, dataset, rows, modes, watch)
        if earlier is not None:
            with Watch("before", count) as watch:
                old, _ = ask_rows(earlier, dataset, rows, modes, watch)
    seconds = time.perf_counter() - began
    result = {
        "model": {
            "id": loaded.style.model_id,
            "hash": loaded.model_hash,
            "parameters": sum(p.numel() for p in loaded.model.parameters()),
        },
        "data": {**facts, "examples": count},
        "command": ["ipt-eval", *(arguments if arguments is not None else sys.argv[1:])],
        "seed": given.seed,
        "flow_steps": asker.steps,
        **{name: loaded.style.to_dict()[name] for name in ("temperature", "temperature_by_seen")},
        "machine": machine(loaded),
        "seconds": round(seconds, 1),
        "tasks": summary(records, modes, loaded.style),
    }
    if earlier is not None:
        result["before"] = {
            "id": earlier.loaded.style.model_id,
            "hash": earlier.loaded.model_hash,
        }
        result["compared"] = compared(old, records, modes)
    if not given.no_latency:
        result["latency_s"] = latency(loaded, [one.example for one in shown], modes)
    if given.calibrate or given.calibrate_memory:
        found = (
            calibrate(records, modes)
            if given.calibrate
            else calibrate_memory(folder, records, modes)
        )
        facts = {k: result[k] for k in ("model", "data", "command", "seed")}
        calibrated = write_calibration(folder, found, facts)
        print(f"{folder}: temperatures {calibrated.to_dict()['temperature']}")
    out = given.out or folder / "evaluation"
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    title = f"{loaded.style.model_id} on {(given.tsv or given.data).name}"
    (out / "evaluation.html").write_text(page(title, result, records, shown), encoding="utf-8")
    print(table(result))
    if earlier is not None:
        print(comparison(result["compared"]))
    print(f"{out}: {count} examples in {seconds:.0f} s")
    return 0


def chosen_rows(
    dataset: Dataset, per_task: int, tasks: tuple[str, ...] = (), variants: tuple[str, ...] = ()
) -> list[int]:
    """The first `per_task` rows of each task, of these variants or of all."""
    known = [t.value for t in Task]
    if wrong := [t for t in tasks if t not in known]:
        raise SystemExit(f"ipt-eval: --tasks: unknown {wrong}, expected some of {known}")
    taken: dict[str, int] = {}
    rows = []
    kinds = zip(dataset.column("task"), dataset.column("variant"), strict=True)
    for row, (task, variant) in enumerate(kinds):
        if variants and variant not in variants:
            continue
        task = task or Task.FREE.value  # rows of public sets say nothing of theirs
        if (not tasks or task in tasks) and taken.get(task, 0) < per_task:
            taken[task] = taken.get(task, 0) + 1
            rows.append(row)
    if not rows:
        raise SystemExit(f"ipt-eval: {dataset.path} has no example of these tasks and variants")
    return rows


def ask_rows(
    asker: BatchAsker, dataset: Dataset, rows: Sequence[int], modes: Sequence[Mode], watch: Watch
) -> tuple[list[Record], list[Shown]]:
    """Ask all rows; some of them, evenly over the tasks, are kept with their pictures."""
    kinds = dataset.column("task")
    per_task = max(1, SHOWN // len({kinds[row] for row in rows}))
    blocks = (
        [any_example(dataset[row]) for row in rows[first : first + BLOCK]]
        for first in range(0, len(rows), BLOCK)
    )
    return ask_examples(asker, blocks, per_task, modes, watch)


def ask_examples(
    asker: BatchAsker,
    blocks: Iterable[list[Example]],
    per_task: int,
    modes: Sequence[Mode],
    watch: Watch,
) -> tuple[list[Record], list[Shown]]:
    """Ask block after block. per_task: how many of a task are kept with their pictures."""
    records: list[Record] = []
    shown: list[Shown] = []
    kept: dict[Task, int] = {}
    first = 0
    for examples in blocks:
        found: dict[int, dict[Mode, Answer]] = {}
        for place, answers in asker.ask(examples, modes, first):
            found[place] = answers
            watch.tell(first + len(found))
        turned = turned_answers(asker, examples, found)
        for place, example in enumerate(examples):
            answers, style = found[place], asker.loaded.style
            record = record_of(first + place, example, answers, style, turned.get(place))
            if place < SHOWN * 4 and kept.get(record.task, 0) < per_task:
                kept[record.task] = kept.get(record.task, 0) + 1
                drawn = answers[Mode.IMAGINE].imagined_views if Mode.IMAGINE in answers else ()
                shown.append(Shown(example, record, drawn[0] if drawn else None))
            records.append(record)
        first += len(examples)
    return records, sorted(shown, key=lambda one: (one.record.task.value, one.record.number))


def latency(
    loaded: LoadedModel, examples: Sequence[Example], modes: Sequence[Mode]
) -> dict[str, dict[str, float]]:
    """Median and slowest seconds of single questions through `Imaginer`, by mode."""
    imaginer = Imaginer(loaded)
    imaginer.warm_up()
    out = {}
    for mode in modes:
        times = []
        for example in examples[:: max(1, len(examples) // LATENCY_EXAMPLES)]:
            question = example.asked
            if not modes_of(question, [mode]):
                continue
            times.append(imaginer.ask(question, mode).times.total_s)
        if not times:
            continue
        out[mode.value] = {
            "median": round(statistics.median(times), 4),
            "slowest": round(max(times), 4),
            "n": len(times),
        }
    return out


def machine(loaded: LoadedModel) -> dict[str, object]:
    """What the numbers were made on."""
    return {
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def table(result: dict[str, Any]) -> str:
    """The accuracies as lines of text."""
    lines = [f"{'task':<12} {'mode':<8} {'right':>7}  95 %            n     unparsable  ECE"]
    for task, part in result["tasks"].items():
        for mode, found in part["modes"].items():
            a, ece = found["accuracy"], found["ece"]
            lines.append(
                f"{task:<12} {mode:<8} {100 * a['share']:6.1f}%  {100 * a['low']:4.1f} - "
                f"{100 * a['high']:5.1f}   {a['n']:>5}  {100 * found['unparsable']['share']:8.1f}%"
                f"  {'-' if ece is None else f'{ece:.3f}'}"
            )
            if "published" in found:
                p = found["published"]
                r, u = p["accuracy"], p["unparsable"]
                lines.append(
                    f"{'':<21} {100 * r['share']:6.1f}%  {100 * r['low']:4.1f} - "
                    f"{100 * r['high']:5.1f}   {r['n']:>5}  {100 * u['share']:8.1f}%  "
                    "as the published evaluation reads them"
                )
            if "reliance" in found:
                r = found["reliance"]
                lines.append(
                    f"{'':<21} {100 * r['share']:6.1f}%  {100 * r['low']:4.1f} - "
                    f"{100 * r['high']:5.1f}   {r['n']:>5}  of left and right turn round with the "
                    "mirrored picture"
                )
    return "\n".join(lines)


def comparison(found: dict[str, Any]) -> str:
    """What changed, as lines of text."""
    lines = [f"{'task':<12} {'mode':<8} {'before':>7} {'after':>7} {'gain':>7}  95 %"]
    for task, modes in found.items():
        for mode, one in modes.items():
            old, new = (100 * one[when]["share"] for when in ("before", "after"))
            lines.append(
                f"{task:<12} {mode:<8} {old:6.1f}% {new:6.1f}% {100 * one['difference']:+6.1f}   "
                f"{100 * one['low']:+5.1f} to {100 * one['high']:+.1f}, n = {one['n']} in "
                f"{one['groups']} scenes or places"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

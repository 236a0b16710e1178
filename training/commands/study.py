"""`ipt-study`: the experiment of supervision and inference mode, repeated over seeds.

    ipt-study --size small --out runs/study    everything made here, minutes on two cores
    ipt-study --size one_task                  perspective alone with a smaller model, an hour
    ipt-study --size full                      the shipped model and all tasks: wants a GPU

All runs begin from one base that knows nothing of the tasks: its tower sees, and it finds the
named thing in a single picture. Every supervision variant is then trained on the same number of
showings of the same data, its checkpoint is chosen on validation, and that one checkpoint is asked
the test questions once, in every mode. Finished runs are kept, so the study goes on where it
stopped. Writes `study.json` and `study.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from scipy import stats

from ipt_model.question import Mode
from ipt_model.weights.loading import hash_folder, load
from ipt_training.commands.evaluate import ask_rows, chosen_rows
from ipt_training.commands.train import train
from ipt_training.commands.train_vae import main as train_vae
from ipt_training.commands.train_vit import main as train_vit
from ipt_training.datasets.generate import write_dataset
from ipt_training.datasets.parquet import DATASET_FILE, Dataset
from ipt_training.datasets.plan import Plan
from ipt_training.datasets.supervision import VARIANTS, Variant
from ipt_training.evaluation.asking import MODES, BatchAsker
from ipt_training.evaluation.records import summary
from ipt_training.finetune.tower import TOWER_FILE
from ipt_training.folder_lock import check_folder
from ipt_training.progress import Watch
from ipt_training.recipe.settings import Settings
from ipt_training.shell.command import in_words, whole

#: The recipe that all runs share but for variant and seed, relative to the repository.
RECIPE = Path("config/training/tiny_mixed.yaml")


@dataclass(frozen=True)
class Size:
    """How large a study is. counts: rows of train, validation and test data, made where missing;
    tasks: those asked, empty for all; base: showings whose pictures the base is shown; overrides:
    entries of the recipe. vae, vit: arguments of their training."""

    counts: dict[str, int]
    base: int
    examples: int
    per_task: int
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    vae: tuple[str, ...]
    vit: tuple[str, ...]
    tasks: tuple[str, ...] = ()


SIZES = {
    "small": Size(
        {"train": 480, "validation": 64, "test": 160},
        base=960,
        examples=2560,
        per_task=40,
        seeds=(0,),
        overrides=(
            "model.llm_config={hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
            "num_attention_heads: 4, num_key_value_heads: 2}",
            "model.vit_config.hidden_size=64",
            "model.vit_config.intermediate_size=128",
            "batch.examples=16",
            "optimiser.warmup=10",
            "optimiser.average=0.9",
            "run.validate=80",
            "run.validation_examples=32",
            "run.save=0",
        ),
        vae=("--steps", "200"),
        vit=("--pictures", "1600", "--steps", "300"),
    ),
    "one_task": Size(
        {"train": 6000, "validation": 300, "test": 800},
        base=24000,
        examples=12000,
        per_task=800,
        seeds=(0, 1, 2),
        overrides=(
            "model.llm_config={hidden_size: 128, intermediate_size: 256, num_hidden_layers: 3, "
            "num_attention_heads: 4, num_key_value_heads: 2}",
            "batch.examples=32",
            "optimiser.warmup=30",
            "optimiser.average=0.99",
            "data.memory=true",
            "run.validate=125",
            "run.validation_examples=300",
            "run.save=0",
        ),
        vae=("--precision", "bfloat16"),
        vit=("--pictures", "24000", "--steps", "2000"),
        tasks=("perspective",),
    ),
    "full": Size(
        {"train": 40000, "validation": 2000, "test": 8000},
        base=80000,
        examples=80000,
        per_task=2000,
        seeds=(0, 1, 2),
        overrides=("run.validate=200", "run.validation_examples=400"),
        vae=("--precision", "bfloat16"),
        vit=(),
    ),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-study", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--data", type=Path, help="folder with train, validation and test")
    parser.add_argument("--vae", type=Path, help="folder of a trained VAE")
    parser.add_argument("--base", type=Path, help="checkpoint that all runs begin from")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", default="", help="default: those of the size")
    parser.add_argument("--examples", type=whole, help="showings per run")
    parser.add_argument("--override", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--threads", type=whole, default=0)
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    size = SIZES[given.size]
    variants = [cast(Variant, name) for name in given.variants.split(",")]
    if unknown := [v for v in variants if v not in VARIANTS]:
        parser.error(f"--variants: unknown {unknown}, expected some of {list(VARIANTS)}")
    if not all(s.strip().isdecimal() for s in given.seeds.split(",") if given.seeds):
        parser.error(f"--seeds: expected whole numbers with commas between, got {given.seeds!r}")
    seeds = [int(s) for s in given.seeds.split(",")] if given.seeds else list(size.seeds)
    return in_words("ipt-study", lambda: _study(given, size, variants, seeds, arguments))


def _study(
    given: argparse.Namespace,
    size: Size,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    arguments: Sequence[str] | None,
) -> int:
    check_folder(given.out)
    data = given.data or given.out / "data"
    make_data(data, size)
    shared = [
        *size.overrides,
        f"data.train={data / 'train'}",
        f"data.validation={data / 'validation'}",
        f"data.tasks=[{', '.join(size.tasks)}]",
    ]
    vae = given.vae or given.out / "vae"
    if not (vae / "ae.safetensors").is_file():
        _done(train_vae(["--data", str(data / "train"), "--out", str(vae), *size.vae]))
    shared.append(f"model.vae={vae}")
    base = given.base or make_base(given.out, given.recipe, size, [*shared, *given.override])
    examples = given.examples or size.examples
    result: dict[str, Any] = {
        "command": ["ipt-study", *(arguments if arguments is not None else sys.argv[1:])],
        "data": {s: Dataset(data / s).digest() for s in size.counts},
        "base": hash_folder(base),
        "examples_per_run": examples,
        "runs": [],
    }
    runs = result["runs"]
    for seed in seeds:
        for variant in variants:
            overrides = [
                *shared,
                f"name={variant}_{seed}",
                f"variant={variant}",
                f"seed={seed}",
                f"examples={examples}",
                f"model.init={base}",
                "loss.looks=0",
                *given.override,
            ]
            settings = Settings.load(given.recipe, overrides)
            runs.append(one_run(settings, given.out / f"{variant}-{seed}", data / "test", size))
            (given.out / "study.json").write_text(json.dumps(result, indent=1) + "\n")
            (given.out / "study.md").write_text(markdown(runs, examples), encoding="utf-8")
    print(markdown(runs, examples))
    return 0


def _done(code: int) -> None:
    """A part that failed has said why; nothing can be built on it."""
    if code:
        raise SystemExit(code)


def make_data(folder: Path, size: Size) -> None:
    """Datasets of the three splits where they are missing."""
    for split, count in size.counts.items():
        if (folder / split / DATASET_FILE).is_file():
            continue
        with Watch(f"{split} data", count) as watch:
            done = 0

            def count_rows(rows: int) -> None:
                nonlocal done
                done += rows
                watch.tell(done)

            plan = Plan(count, size_px=64, split=split)
            if size.tasks:
                plan = replace(plan, tasks=tuple((task, 1.0) for task in size.tasks))
            write_dataset(plan, folder / split, on_rows=count_rows)


def make_base(out: Path, recipe: Path, size: Size, overrides: Sequence[str]) -> Path:
    """Where all runs begin, unless it was made: a tower that sees, and a decoder that has looked
    at single pictures and finds in them what it is asked for."""
    folder = out / "base" / "final"
    if folder.is_dir():
        return folder
    own = [
        *overrides,
        "name=base",
        "variant=mixed",
        "model.init=preset:ipt_tiny",
        f"examples={size.base}",
        "loss.looks=3",
        "loss.looks_only=true",
        "run.validate=0",
        f"model.vit={out / 'vit'}",
    ]
    settings = Settings.load(recipe, own)
    if not (out / "vit" / TOWER_FILE).is_file():
        changes = [f"--override={entry}" for entry in own]
        _done(train_vit(["--out", str(out / "vit"), "--recipe", str(recipe), *changes, *size.vit]))
    train(settings, out / "base")
    return folder


def one_run(settings: Settings, out: Path, test: Path, size: Size) -> dict[str, Any]:
    """Train one variant with one seed, unless that was done, and ask its chosen checkpoint."""
    path = out / "result.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        if found["settings"] == settings.digest():
            return found
    outcome = train(settings, out)
    chosen = out / "best" if (out / "best").is_dir() else out / "final"
    began = time.perf_counter()
    loaded = load(chosen, "auto")
    dataset = Dataset(test)
    rows = chosen_rows(dataset, size.per_task, settings.data.tasks)
    asker = BatchAsker(loaded)
    with Watch(f"{settings.name} test", len(rows)) as watch:
        records, _ = ask_rows(asker, dataset, rows, MODES, watch)
    result = {
        "variant": settings.variant,
        "seed": settings.seed,
        "settings": settings.digest(),
        "checkpoint": {
            "hash": loaded.model_hash,
            "step": outcome.best.get("step", outcome.step),
            "validation": outcome.best.get("mean"),
        },
        "parameters": sum(p.numel() for p in loaded.model.parameters()),
        "seconds": {
            "train": round(outcome.seconds, 1),
            "test": round(time.perf_counter() - began, 1),
        },
        "tasks": summary(records, MODES, loaded.recipe),
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


# -- the table
@dataclass(frozen=True)
class Cell:
    """An accuracy over seeds. half: of the 95 % interval of the mean, by Student's t over seeds;
    with one seed by the binomial over examples."""

    mean: float
    half: float
    seeds: int
    n: int


def cell(runs: Sequence[Mapping[str, Any]], variant: str, mode: str, task: str | None) -> Cell:
    """Mean accuracy of a variant in a mode on a task (None: mean over tasks) over all seeds."""
    values, asked = [], []
    for run in runs:
        if run["variant"] != variant:
            continue
        values.append(_share(run, mode, task))
        asked.append(sum(part["modes"][mode]["accuracy"]["n"] for part in _parts(run, task)))
    mean, n = statistics.fmean(values), min(asked)
    if len(values) > 1:
        half = _half(values)
    else:
        half = 1.96 * math.sqrt(max(mean * (1 - mean), 1e-9) / n)
    return Cell(mean, half, len(values), n)


def markdown(runs: Sequence[Mapping[str, Any]], examples: int) -> str:
    """The table: a line per variant, a column per mode, over all tasks and for each."""
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    tasks = list(dict.fromkeys(task for run in runs for task in run["tasks"]))
    modes = [mode.value for mode in (Mode.ANSWER, Mode.IMAGINE, Mode.GIVEN)]
    seeds = len({run["seed"] for run in runs})
    lines = [
        "# Supervision and inference mode",
        "",
        f"{examples} showings per run, {seeds} seed{'s' if seeds > 1 else ''}; the checkpoint is "
        "chosen on validation and asked the test questions once, in every mode. Accuracy in "
        "percent with the 95 % half-width (Student's t over seeds; over examples where there is "
        "one seed).",
    ]
    for task in (None, *tasks) if len(tasks) > 1 else tasks:
        parts = [run["tasks"][task] if task else None for run in runs]
        chance = f", chance {100 * parts[0]['chance']:.0f} %" if parts[0] else ""
        n = cell(runs, variants[0], modes[0], task).n
        lines += ["", f"## {task or 'mean over tasks'} (n = {n}{chance})", ""]
        lines.append("| supervision | " + " | ".join(modes) + " | unparsable (answer) |")
        lines.append("|---|" + "---|" * (len(modes) + 1))
        for variant in variants:
            row = [f"{variant}: {VARIANTS[cast(Variant, variant)]}"]
            for mode in modes:
                c = cell(runs, variant, mode, task)
                row.append(f"{100 * c.mean:.1f} ± {100 * c.half:.1f}")
            row.append(f"{100 * _unparsable(runs, variant, task):.1f}")
            lines.append("| " + " | ".join(row) + " |")
        lines += ["", *_differences(runs, variants, task)]
    return "\n".join(lines) + "\n"


#: What is compared with what, in which mode: (variant, mode) twice.
QUESTIONS = (
    ("does drawing in training help the answer?", ("mixed", "answer"), ("label_vae", "answer")),
    ("learned by drawing the view, or by being given it?", ("ipt", "given"), ("given", "given")),
    ("does what is drawn matter?", ("ipt", "imagine"), ("ipt_wrong", "imagine")),
    ("does drawing before the answer help?", ("mixed", "imagine"), ("mixed", "answer")),
    ("and if the drawing were true?", ("mixed", "given"), ("mixed", "answer")),
    ("pictures or words to think in?", ("mixed", "imagine"), ("text_cot", "answer")),
)


def _differences(
    runs: Sequence[Mapping[str, Any]], variants: Sequence[str], task: str | None
) -> list[str]:
    """Answers to `QUESTIONS` where both variants were trained: points, paired by seed."""
    lines = ["| question | compared | points |", "|---|---|---|"]
    for question, *sides in QUESTIONS:
        if not {variant for variant, _ in sides} <= set(variants):
            continue
        a, b = (
            {r["seed"]: _share(r, s[1], task) for r in runs if r["variant"] == s[0]} for s in sides
        )
        gaps = [a[seed] - b[seed] for seed in sorted(set(a) & set(b))]
        if not gaps:
            continue
        said = f"{100 * statistics.fmean(gaps):+.1f}"
        if len(gaps) > 1:
            said += f" ± {100 * _half(gaps):.1f}"
        names = " less ".join(f"{variant}/{mode}" for variant, mode in sides)
        lines.append(f"| {question} | {names} | {said} |")
    return lines if len(lines) > 2 else []


def _half(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean over seeds, by Student's t."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(stats.t.ppf(0.975, len(values) - 1)) * error


def _parts(run: Mapping[str, Any], task: str | None) -> list[Any]:
    """What a run found on a task, or on each."""
    return [run["tasks"][task]] if task else list(run["tasks"].values())


def _share(run: Mapping[str, Any], mode: str, task: str | None) -> float:
    found = (part["modes"][mode]["accuracy"]["share"] for part in _parts(run, task))
    return statistics.fmean(found)


def _unparsable(runs: Sequence[Mapping[str, Any]], variant: str, task: str | None) -> float:
    shares = [
        part["modes"][Mode.ANSWER.value]["unparsable"]["share"]
        for run in runs
        if run["variant"] == variant
        for part in _parts(run, task)
    ]
    return statistics.fmean(shares)


if __name__ == "__main__":
    raise SystemExit(main())

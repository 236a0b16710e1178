"""`ipt-study`: the experiment of supervision and inference mode, repeated over seeds.

    ipt-study --size small --out runs/study    everything made here, minutes on two cores
    ipt-study --size one_task                  perspective alone with a smaller model, an hour
    ipt-study --size memory --base FOLDER      perspective and path, with a memory and without,
                                               from a checkpoint that answers them without one
    ipt-study --size full                      the shipped model and all tasks: wants a GPU

All runs begin from one base. Unless it is given it knows nothing of the tasks: its tower sees, and
it finds the named thing in a single picture. Every arm, a supervision or a variant of one, is then
trained on the same number of showings of the same data. Its checkpoint, chosen on validation where
the size validates, is asked the test questions once, in every mode. Finished runs are kept, so the
study goes on where it stopped. Writes `study.json` and `study.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ipt_model.weights.loading import hash_folder, load
from ipt_training.commands.evaluate import ask_rows, chosen_rows
from ipt_training.commands.train import train
from ipt_training.commands.train_vae import main as train_vae
from ipt_training.commands.train_vit import main as train_vit
from ipt_training.datasets.generate import write_dataset
from ipt_training.datasets.parquet import DATASET_FILE, Dataset
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.evaluation.asking import MODES, BatchAsker
from ipt_training.evaluation.records import summary
from ipt_training.evaluation.study_arms import ARMS, BASE
from ipt_training.evaluation.study_table import markdown
from ipt_training.finetune.tower import TOWER_FILE
from ipt_training.folder_lock import check_folder
from ipt_training.progress import Watch
from ipt_training.recipe.settings import TrainingRecipe
from ipt_training.shell.command import in_words, whole

#: The recipe that all runs share but for supervision and seed, relative to the repository.
RECIPE = Path("config/training/tiny_mixed.yaml")
#: In the folder of a run that has ended.
RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Size:
    """How large a study is. counts: rows of train, validation and test data, made where missing;
    tasks: those asked, empty for all; variants: of the data, empty for the plain ones; base:
    showings whose pictures the base is shown, 0 where it must be given, with its VAE; overrides:
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
    variants: tuple[str, ...] = ()


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
    "memory": Size(
        {"train": 24000, "validation": 400, "test": 2000},
        base=0,
        examples=4800,
        per_task=600,
        seeds=(0, 1, 2),
        overrides=(
            "batch.examples=48",
            "optimiser.rate=1.0e-3",
            "optimiser.warmup=10",
            "optimiser.average=0.98",
            "data.memory=true",
            "run.validate=0",
            "run.save=25",
        ),
        vae=(),
        vit=(),
        tasks=("perspective", "path"),
        variants=("pose+anchored", "map", "pose+anchored+memory", "map+memory"),
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
    parser.add_argument("--supervisions", default=",".join(ARMS), help="and variants of them")
    parser.add_argument("--seeds", default="", help="default: those of the size")
    parser.add_argument("--examples", type=whole, help="showings per run")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing: the tables of the runs that ended"
    )
    parser.add_argument("--override", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--threads", type=whole, default=0)
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    size = SIZES[given.size]
    if given.base is None and not size.base:
        parser.error(f"--base: --size {given.size} begins from a checkpoint that knows the tasks")
    arms = given.supervisions.split(",")
    if unknown := [name for name in arms if name not in ARMS]:
        parser.error(f"--supervisions: unknown {unknown}, expected some of {list(ARMS)}")
    if not all(s.strip().isdecimal() for s in given.seeds.split(",") if given.seeds):
        parser.error(f"--seeds: expected whole numbers with commas between, got {given.seeds!r}")
    seeds = [int(s) for s in given.seeds.split(",")] if given.seeds else list(size.seeds)
    return in_words("ipt-study", lambda: _study(given, size, arms, seeds, arguments))


def _study(
    given: argparse.Namespace,
    size: Size,
    arms: Sequence[str],
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
    vae = given.vae or (given.out / "vae" if size.vae else given.base)
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
    if given.base:
        runs.append({"supervision": BASE, **asked_base(base, given.out, data / "test", size)})
    for seed in seeds:
        for name in arms:
            overrides = [
                *shared,
                f"name={name}_{seed}",
                f"supervision={ARMS[name].supervision}",
                f"seed={seed}",
                f"examples={examples}",
                f"model.init={base}",
                "loss.looks=0",
                *ARMS[name].overrides,
                *given.override,
            ]
            settings = TrainingRecipe.load(given.recipe, overrides)
            folder = given.out / f"{name}-{seed}"
            found = finished(settings, folder)
            if found is None and given.finished:
                continue
            found = found or one_run(settings, folder, data / "test", size)
            runs.append({"supervision": name, **found})
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

            plan = DatasetPlan(count, size_px=64, split=split)
            if size.tasks:
                plan = replace(plan, tasks=tuple((task, 1.0) for task in size.tasks))
            if size.variants:
                plan = replace(plan, variants=size.variants)
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
        "supervision=mixed",
        "model.init=preset:ipt_tiny",
        f"examples={size.base}",
        "loss.looks=3",
        "loss.looks_only=true",
        "run.validate=0",
        f"model.vit={out / 'vit'}",
    ]
    settings = TrainingRecipe.load(recipe, own)
    if not (out / "vit" / TOWER_FILE).is_file():
        changes = [f"--override={entry}" for entry in own]
        _done(train_vit(["--out", str(out / "vit"), "--recipe", str(recipe), *changes, *size.vit]))
    train(settings, out / "base")
    return folder


def finished(settings: TrainingRecipe, out: Path) -> dict[str, Any] | None:
    """What came of a run with these settings; None where none has ended here."""
    path = out / RESULT_FILE
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found if found["settings"] == settings.digest() else None


def one_run(settings: TrainingRecipe, out: Path, test: Path, size: Size) -> dict[str, Any]:
    """Train one supervision with one seed, and ask its chosen checkpoint."""
    outcome = train(settings, out)
    chosen = out / "best" if (out / "best").is_dir() else out / "final"
    answers = asked(chosen, settings.name, settings.data.tasks, test, size)
    result = {"seed": settings.seed, "settings": settings.digest(), **answers}
    result["checkpoint"]["step"] = outcome.best.get("step", outcome.step)
    result["checkpoint"]["validation"] = outcome.best.get("mean")
    result["seconds"]["train"] = round(outcome.seconds, 1)
    (out / RESULT_FILE).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def asked_base(base: Path, out: Path, test: Path, size: Size) -> dict[str, Any]:
    """The given checkpoint as it came, asked the same, unless that was done."""
    path = out / "base.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        if found["checkpoint"]["hash"] == hash_folder(base):
            return found
    result = {"seed": 0, **asked(base, "base", size.tasks, test, size)}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def asked(
    checkpoint: Path, name: str, tasks: tuple[str, ...], test: Path, size: Size
) -> dict[str, Any]:
    """A checkpoint's answers to the test questions in every mode."""
    began = time.perf_counter()
    loaded = load(checkpoint, "auto")
    dataset = Dataset(test)
    rows = chosen_rows(dataset, size.per_task, tasks)
    with Watch(f"{name} test", len(rows)) as watch:
        records, _ = ask_rows(BatchAsker(loaded), dataset, rows, MODES, watch)
    return {
        "checkpoint": {"hash": loaded.model_hash, "step": 0, "validation": None},
        "parameters": sum(p.numel() for p in loaded.model.parameters()),
        "seconds": {"test": round(time.perf_counter() - began, 1)},
        "tasks": summary(records, MODES, loaded.style),
    }


if __name__ == "__main__":
    raise SystemExit(main())

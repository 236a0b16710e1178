"""`ipt-train`: train a recipe, alone or under torchrun, and go on where an earlier run stopped.

    ipt-train config/training/tiny_mixed.yaml --out runs/tiny --override data.train=DATASET
    torchrun --nproc-per-node 8 -m ipt_training.commands.train RECIPE.yaml --out runs/b

The run's folder holds the recipe as it was, `checkpoints/`, TensorBoard scalars, `log.jsonl`,
`best/` (by validation) and `final/`, which `Imaginer.from_pretrained` loads.

Ctrl-C or SIGTERM saves a checkpoint after the step under way. Exit codes: 0 finished or stopped by
--minutes, 1 the training diverged, 2 it cannot be begun, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator

from ipt_model.question import Mode
from ipt_model.weights.checkpoint import load_codec
from ipt_model.wording.phrasing import templates
from ipt_training.datasets.parquet import Dataset, write_file
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.example import Example
from ipt_training.feed.latents import codec_digest, store_for
from ipt_training.feed.own_views import OwnViews, OwnViewsError
from ipt_training.feed.sequences import SequenceMaker
from ipt_training.feed.sources import FreshSource, MixedSource, RowSource, Source
from ipt_training.finetune.building import Start, build
from ipt_training.finetune.checkpoints import check_resumable
from ipt_training.finetune.steps import StepMaker
from ipt_training.finetune.trainer import StepReport, Trainer, make_accelerator
from ipt_training.finetune.validation import (
    OWN_MODES,
    accuracies,
    loaded_model,
    validation_examples,
)
from ipt_training.folder_lock import check_folder, only_writer
from ipt_training.processes import Stopped, StopRequest
from ipt_training.progress import Watch
from ipt_training.recipe.settings import SettingsError, TrainingRecipe
from ipt_training.shell.command import in_words, whole
from ipt_training.shell.command import minutes as minutes_of

#: Words for the exercises "options + word -> letter".
EXERCISE_WORDS = ("left", "right", "closer", "further", "yes", "no", "1", "2", "3", "4", "5", "6")


@dataclass(frozen=True)
class Outcome:
    """How a run ended. finished: all examples were shown, or no more would have helped. best:
    validation accuracies of `best/`, empty without validation."""

    out: Path
    finished: bool
    step: int
    best: dict[str, float]
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="YAML file")
    parser.add_argument("--out", type=Path, help="folder of the run (default runs/NAME)")
    parser.add_argument("--override", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--minutes", type=minutes_of, help="stop then, with a checkpoint")
    parser.add_argument(
        "--threads", type=whole, default=0, help="of one process; 0 leaves torch's"
    )
    given = parser.parse_args(arguments)

    def run() -> int:
        if given.threads:
            torch.set_num_threads(given.threads)
        settings = TrainingRecipe.load(given.recipe, given.override)
        out = given.out or Path("runs") / settings.name
        outcome = train(settings, out, minutes=given.minutes)
        state = "finished" if outcome.finished else "stopped; run the same command to go on"
        print(f"{out}: step {outcome.step}, {state}, {outcome.seconds:.0f} s")
        return 0

    return in_words("ipt-train", run)


def train(
    settings: TrainingRecipe,
    out: Path,
    *,
    minutes: float | None = None,
    on_step: Callable[[StepReport], None] | None = None,
) -> Outcome:
    """Run or go on with a recipe in folder `out`.

    SIGINT and SIGTERM end it with `Stopped`, during training after a checkpoint.
    """
    check_folder(out)
    check_resumable(out, settings.digest())
    accelerator = make_accelerator(settings)
    with (
        StopRequest() as stop,
        only_writer(out) if accelerator.is_main_process else nullcontext(),
    ):
        return _train(settings, out, accelerator, stop, minutes, on_step)


def _train(
    settings: TrainingRecipe,
    out: Path,
    accelerator: Accelerator,
    stop: StopRequest,
    minutes: float | None,
    on_step: Callable[[StepReport], None] | None,
) -> Outcome:
    began = time.perf_counter()
    main_process = accelerator.is_main_process
    start = build(settings, accelerator.device, weights=main_process or not settings.run.shard)
    source, facts = make_source(settings, start, out, accelerator)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    steps = StepMaker(
        settings,
        start.config,
        source,
        maker,
        accelerator.process_index,
        accelerator.num_processes,
        EXERCISE_WORDS,
    )
    trainer = Trainer(settings, start, out, accelerator)
    trainer.facts = facts
    if trainer.sharded and main_process:
        print(f"{out}: weights are spread over {accelerator.num_processes} processes")
    resumed = trainer.resume()
    if main_process:  # not before: what cannot go on from there leaves its recipe alone
        text = yaml.safe_dump(settings.to_dict(), sort_keys=False)
        write_file(out / "recipe.yaml", text.encode())
    log = RunLog(out, trainer.step, main_process)
    judge = Judge(settings, start, trainer, log)
    patient = not judge.gave_up(trainer.step)
    with Watch(settings.name, settings.steps, main_process) as watch:

        def each(report: StepReport) -> bool:
            every = settings.run.log
            if every and (report.step % every == 0 or report.step == settings.steps):
                log.scalars(report.step, _scalars(report))
                watch.tell(report.step, _said(report))
            if on_step is not None:
                on_step(report)
            judge.after(report.step)
            nonlocal patient
            patient = not _any(judge.gave_up(report.step), accelerator)
            late = minutes is not None and time.perf_counter() - began > 60 * minutes
            return patient and not _any(late or bool(stop.signal), accelerator)

        with stop.deferred():
            finished = not patient or trainer.run(steps, each) or not patient
    if stop.signal and not finished:
        log.close()
        name = signal.Signals(stop.signal).name
        raise Stopped(
            stop.signal,
            f"{out}: stopped by {name} with a checkpoint of step {trainer.step}; run the same "
            "command to go on",
        )
    if finished and settings.run.patience and (out / "best").is_dir():
        if main_process:
            shutil.copytree(out / "best", out / "final", dirs_exist_ok=True)
    elif finished:
        trainer.export(out / "final")
        if main_process and judge.examples and not (out / "best").is_dir():
            shutil.copytree(out / "final", out / "best")
    log.close()
    if resumed and main_process:
        print(f"{out}: went on from a checkpoint", file=sys.stderr)
    return Outcome(out, finished, trainer.step, judge.best, time.perf_counter() - began)


def make_source(
    settings: TrainingRecipe, start: Start, out: Path, accelerator: Accelerator
) -> tuple[Source, dict[str, Any]]:
    """The showings of a run and what the model card should say of them. Latents that a dataset
    lacks are encoded now, each process its share."""
    if settings.data.fresh:
        try:
            plan = DatasetPlan(**{"count": settings.examples, **settings.data.fresh})
        except (TypeError, ValueError) as error:
            raise SettingsError(f"data.fresh: {error}") from error
        codec_folder = settings.model.vae or settings.model.init
        make = partial(load_codec, codec_folder, start.config, "cpu", torch.float32)
        source = FreshSource(plan, settings.supervision, start.style, make)
        return source, {"plan": plan.to_dict(), "templates": sum(map(len, templates().values()))}
    shares = {settings.data.train: 1 - sum(settings.data.mix.values()), **settings.data.mix}
    sources = [_rows(settings, folder, start, out, accelerator) for folder in shares]
    digests = [source.dataset.digest() for source in sources]
    if settings.data.own and not any(source.own and source.own.rows for source in sources):
        names = " or ".join(digest[:16] for digest in digests)
        raise OwnViewsError(
            f"{settings.data.own}: expected views of dataset {names}, found those of others alone"
        )
    facts = {"dataset": digests[0], "rows": sum(source.rows_per_epoch for source in sources)}
    if len(sources) == 1:
        return sources[0], facts
    mixed = MixedSource(sources, list(shares.values()), settings.seed)
    return mixed, {**facts, "mixed_with": digests[1:]}


def _rows(
    settings: TrainingRecipe, folder: str, start: Start, out: Path, accelerator: Accelerator
) -> RowSource:
    """The showings of one dataset."""
    dataset = Dataset(folder, ignore_unknown=True)
    store = store_for(dataset, start.codec, start.style, out)
    needed = settings.supervision not in ("label", "text_cot") or settings.loss.reads
    if needed and store.missing():
        with Watch("latents", len(dataset), accelerator.is_main_process) as watch:
            done = 0

            def count(rows: int) -> None:
                nonlocal done
                done += rows * accelerator.num_processes
                watch.tell(done)

            store.make(
                dataset,
                start.codec,
                start.style,
                rank=accelerator.process_index,
                world_size=accelerator.num_processes,
                on_rows=count,
            )
        accelerator.wait_for_everyone()
    own = None
    if settings.data.own:
        own = OwnViews(Path(settings.data.own), dataset.digest(), codec_digest(start.codec))
    return RowSource(
        dataset,
        settings.supervision,
        start.style.prompt,
        settings.seed,
        store,
        settings.data.tasks,
        settings.data.memory,
        own,
        settings.data.own_share,
        settings.data.repeat if folder == settings.data.train else None,
    )


class Judge:
    """Asks validation questions now and then and keeps the best weights in `best/`. What it needs
    to go on stands there."""

    def __init__(
        self, settings: TrainingRecipe, start: Start, trainer: Trainer, log: RunLog
    ) -> None:
        self.settings, self.start, self.trainer, self.log = settings, start, trainer, log
        self.examples: list[Example] = []
        self.best: dict[str, float] = {}
        # sharded weights cannot be asked by one process alone
        if settings.data.validation and settings.run.validate and not settings.run.shard:
            dataset = Dataset(settings.data.validation)
            count = settings.run.validation_examples
            self.examples = validation_examples(dataset, count, settings.data.tasks)
        path = trainer.out / "best" / "validation.json"
        if path.is_file():
            self.best = json.loads(path.read_text())

    def gave_up(self, step: int) -> bool:
        """Whether no look of the last few, as many as the recipe's patience, was better."""
        run = self.settings.run
        if not (run.patience and self.best):
            return False
        return step - self.best["step"] >= run.patience * run.validate

    def after(self, step: int) -> None:
        """Validate when it is time to."""
        due = step % max(1, self.settings.run.validate) == 0 or step == self.settings.steps
        if not self.examples or not due:
            return
        trainer = self.trainer
        modes: tuple[Mode, ...] = OWN_MODES[self.settings.supervision]
        better = False
        if trainer.accelerator.is_main_process:
            with trainer.averaged():
                found = accuracies(loaded_model(self.start), self.examples, modes)
            self.log.scalars(step, {f"validation/{k}": v for k, v in found.items()})
            better = found["mean"] > self.best.get("mean", -1.0)
            if better:
                self.best = {**found, "step": step}
        trainer.accelerator.wait_for_everyone()
        if _any(better, trainer.accelerator):
            trainer.export(trainer.out / "best")
            if trainer.accelerator.is_main_process:
                path = trainer.out / "best" / "validation.json"
                path.write_text(json.dumps(self.best, indent=1) + "\n")


class RunLog:
    """TensorBoard scalars and the same as lines of JSON."""

    def __init__(self, out: Path, step: int, write: bool) -> None:
        self._board: Any = None
        self._path = out / "log.jsonl"
        if write:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Numbers of one step; NaN is left out."""
        if self._board is None:
            return
        known = {k: v for k, v in values.items() if v == v}
        for name, value in known.items():
            self._board.add_scalar(name, value, step)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **known}) + "\n")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _scalars(report: StepReport) -> dict[str, float]:
    return {
        **{f"loss/{name}": value for name, value in report.losses.items()},
        "optimiser/rate": report.rate,
        "optimiser/gradient_norm": report.norm,
        "speed/tokens_per_second": report.tokens / max(report.seconds, 1e-9),
        "examples": report.examples,
    }


def _said(report: StepReport) -> str:
    losses = "  ".join(f"{k} {v:.3f}" for k, v in report.losses.items() if v == v)
    return f"{losses}  {report.seconds:.2f} s/step"


def _any(flag: bool, accelerator: Accelerator) -> bool:
    """Whether any process says so: all must agree on when to stop."""
    if accelerator.num_processes == 1:
        return flag
    said = torch.tensor([float(flag)], device=accelerator.device)
    return bool(accelerator.gather(said).max() > 0)


if __name__ == "__main__":
    raise SystemExit(main())

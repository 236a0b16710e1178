"""What each stage of the demo does. The commands are those that a robot's owner runs
(docs/fine_tuning.md); the order and the folders are here.

In: a folder and how large. Out: the facts that the report is written from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ament_index_python.packages import get_package_share_path

from ipt_ros.demo.fine_tuning.deploying import ask_each
from ipt_ros.demo.fine_tuning.house import HouseDrive, HousePlan
from ipt_ros.demo.fine_tuning.recording import contract_of, robot_setup
from ipt_ros.demo.fine_tuning.stages import Stages, command, finish, start
from ipt_ros.demo.fine_tuning.verdict import judge
from ipt_training.bags.parts import read_manifest
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import any_example
from ipt_training.houses.generator import make_scene
from ipt_training.scenes.splits import seeds_of

#: Rooms of a house that is driven through.
LEAST_ROOMS = 2
#: Rows shown of each task.
SHOWN = 2
#: Kinds of rendered rows that keep what the weights know: as the robot asks, with a memory.
RENDERED_TASKS = "path=1,perspective=1,clearance=1"
RENDERED_VARIANTS = "map+memory,pose+anchored+memory,one view+told radius+memory"
MODES = "answer,imagine,recall"


@dataclass(frozen=True)
class Size:
    """How much of everything. houses, held_out: driven through, to learn from and to ask in.
    places: looked at in each, 0 for all. every_s, frames: between frames that are kept, at least,
    and about how many of a house; on a busy machine a robot drives longer and sees no more.
    rendered: rows beside the recorded ones. examples: showings. per_task: most questions of a
    task."""

    houses: int = 6
    held_out: int = 3
    places: int = 0
    every_s: float = 0.6
    frames: int = 120
    per_frame: int = 2
    rendered: int = 800
    examples: int = 7200
    per_task: int = 500
    at_once: int = 2


@dataclass(frozen=True)
class Chain:
    """The stages of one run. weights: what is fine-tuned, a name or a folder."""

    out: Path
    look: str
    weights: str
    size: Size

    def run(self) -> dict[str, Any]:
        """Everything that the report tells."""
        stages = Stages(self.out, lambda text: print(text, flush=True))
        size = self.size
        plans = [
            HousePlan(seed, self.look, places=size.places)
            for split, count in (("train", size.houses), ("test", size.held_out))
            for seed in islice(houses(split), count)
        ]
        learned, held = plans[: size.houses], plans[size.houses :]
        everything: dict[str, Any] = {
            "look": self.look,
            "weights": self.weights,
            "size": asdict(size),
            "houses": {"train": [p.seed for p in learned], "held out": [p.seed for p in held]},
            "recorded": stages.run(
                "record", {"houses": [asdict(p) for p in plans]}, lambda: self._record(plans)
            ),
            "converted": stages.run(
                "convert",
                {"every_s": size.every_s, "frames": size.frames, "per_frame": size.per_frame},
                lambda: self._convert(learned, held),
            ),
            "rendered": stages.run("render", {"rows": size.rendered}, self._render),
            "trained": stages.run(
                "train", {"weights": self.weights, "examples": size.examples}, self._train
            ),
            "evaluated": stages.run("evaluate", {"per_task": size.per_task}, self._evaluate),
            "deployed": stages.run(
                "deploy", {"seed": held[0].seed}, lambda: self._deploy(held[0])
            ),
        }
        rows = sum(everything["converted"]["train"]["rows"].values())
        trained = everything["trained"]
        verdict = judge(
            everything["evaluated"]["compared"], trained["losses"], trained["looks"], rows
        )
        everything["verdict"] = {"gain": verdict.gain, "sentences": list(verdict.sentences)}
        everything["stages"] = [
            {"name": s.name, "seconds": s.seconds, "repeated": s.repeated} for s in stages.done
        ]
        return everything

    # -- stages -----------------------------------------------------------------------------------

    @property
    def _bags(self) -> Path:
        return self.out / "recordings"

    @property
    def _logs(self) -> Path:
        return self.out / "logs"

    @property
    def _tuned(self) -> Path:
        return self.out / "run" / "final"

    def _record(self, plans: Sequence[HousePlan]) -> dict[str, Any]:
        """Drive through every house that has no recording yet, some at once."""
        setup = robot_setup()
        self._bags.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)

        def drive(plan: HousePlan) -> dict[str, Any]:
            kept = self._kept(plan)
            if not kept:
                done = HouseDrive(plan, self._bag(plan), setup["camera"], self._logs).run()
                kept = {"plan": asdict(plan), "drive": asdict(done)}
                self._told(plan).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
                print(
                    f"  {plan.name}: {done.pictures} pictures, {done.driven_m:.0f} m, "
                    f"{done.reached} of {done.places} places",
                    flush=True,
                )
            return dict(kept["drive"])

        with ThreadPoolExecutor(self.size.at_once) as pool:
            return {"drives": list(pool.map(drive, plans))}

    def _bag(self, plan: HousePlan) -> Path:
        return self._bags / plan.name

    def _told(self, plan: HousePlan) -> Path:
        return self._bags / f"{plan.name}.json"

    def _kept(self, plan: HousePlan) -> dict[str, Any]:
        """What is told of a drive beside its recording; empty where there is none of this plan."""
        if not (self._told(plan).is_file() and self._bag(plan).is_dir()):
            return {}
        kept = dict(json.loads(self._told(plan).read_text(encoding="utf-8")))
        return kept if kept["plan"] == asdict(plan) else {}

    def _convert(self, learned: Sequence[HousePlan], held: Sequence[HousePlan]) -> dict[str, Any]:
        """Rows to learn from, with some places kept for validation, and rows of houses that
        nothing is learned from."""
        jobs = {"data": (learned, "0.2"), "held_out": (held, "1")}
        processes, logs, every_s = [], [], {}
        for folder, (plans, share) in jobs.items():
            contract = self._bags / f"contract_{folder}.yaml"
            every_s[folder] = self._every_s(plans)
            text = contract_of(robot_setup()["mounts"], every_s[folder]).text()
            contract.write_text(text, encoding="utf-8")
            log = self._logs / f"convert_{folder}.log"
            bags = [str(self._bag(plan)) for plan in plans]
            options = ["--contract", str(contract), "--held-out", share]
            options += ["--out", str(self.out / folder), "--per-frame", str(self.size.per_frame)]
            processes.append(start("bag", ["convert", *bags, *options], log))
            logs.append(log)
        finish(processes, logs)
        return {
            "train": self._rows_of("data", "train"),
            "validation": self._rows_of("data", "validation"),
            "held out": self._rows_of("held_out", "validation"),
            "dropped": {
                folder: _summed(read_manifest(self.out / folder), "dropped") for folder in jobs
            },
            "frames": {
                folder: sum(one["frames"] for one in read_manifest(self.out / folder).values())
                for folder in jobs
            },
            "every_s": every_s,
            "samples": self._samples(self.out / "data" / "train"),
        }

    def _every_s(self, plans: Sequence[HousePlan]) -> float:
        """Between frames, s, so that these houses give about as many as they should."""
        seconds = [self._kept(plan)["drive"]["simulated_s"] for plan in plans]
        return max(self.size.every_s, round(sum(seconds) / len(seconds) / self.size.frames, 1))

    def _rows_of(self, folder: str, split: str) -> dict[str, Any]:
        tasks = [str(task) for task in Dataset(self.out / folder / split).column("task")]
        return {"rows": {task: tasks.count(task) for task in dict.fromkeys(tasks)}}

    def _samples(self, folder: Path) -> list[dict[str, Any]]:
        """Some rows of each task, their pictures as files."""
        dataset = Dataset(folder)
        tasks = dataset.column("task")
        rng = np.random.default_rng(0)
        samples = []
        for task in dict.fromkeys(tasks):
            rows = np.flatnonzero([t == task for t in tasks])
            for row in rng.permutation(rows)[:SHOWN].tolist():
                example = any_example(dataset[row])
                shown = {f"picture {k}": p for k, p in enumerate(example.question.images, 1)}
                if example.recalled is not None:
                    shown["remembered"] = example.recalled.rgb
                if example.true_view.size:
                    shown["true view"] = example.true_view
                names = {what: f"row_{row}_{k}.png" for k, what in enumerate(shown)}
                self._pictures.mkdir(parents=True, exist_ok=True)
                for what, file in names.items():
                    cv2.imwrite(str(self._pictures / file), shown[what][:, :, ::-1])
                samples.append(
                    {
                        "task": str(task),
                        "question": example.question.text,
                        "options": list(example.question.options),
                        "answer": example.answer,
                        "pictures": names,
                    }
                )
        return samples

    @property
    def _pictures(self) -> Path:
        return self.out / "pictures"

    def _render(self) -> dict[str, Any]:
        """Rows as the shipped weights know them, so that they are not forgotten."""
        folder = self.out / "rendered"
        options = ["--count", str(self.size.rendered), "--size", "64", "--split", "train"]
        options += ["--out", str(folder), "--tasks", RENDERED_TASKS]
        options += ["--variants", RENDERED_VARIANTS, "--workers", str(self.size.at_once)]
        command("dataset", options, self._logs / "render.log")
        return {"rows": len(Dataset(folder))}

    def _train(self) -> dict[str, Any]:
        """Fine-tune from the shipped weights; the run goes on where it was stopped."""
        recipe = get_package_share_path("imaginative_perception") / "config/training"
        run = self.out / "run"
        overrides = {
            "model.init": self.weights,
            "data.train": self.out / "data" / "train",
            "data.validation": self.out / "data" / "validation",
            "data.mix": json.dumps({str(self.out / "rendered"): 0.2}),
            "run.patience": 0,  # the few places held out of six houses are no judge of a best
            "examples": self.size.examples,
        }
        options = [str(recipe / "robot_tiny.yaml"), "--out", str(run)]
        for name, value in overrides.items():
            options += ["--override", f"{name}={value}"]
        command("train", options, self._logs / "train.log", processes=self.size.at_once)
        lines = [
            json.loads(line)
            for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        names = dict.fromkeys(name for line in lines for name in line if name.startswith("loss/"))
        return {
            "steps": max(line["step"] for line in lines),
            "losses": {
                name.removeprefix("loss/"): [line[name] for line in lines if name in line]
                for name in names
            },
            "looks": [line["validation/mean"] for line in lines if "validation/mean" in line],
        }

    def _evaluate(self) -> dict[str, Any]:
        """The same questions of the held-out houses, before and after."""
        out = self.out / "evaluation"
        options = ["--model", str(self._tuned), "--before", self.weights, "--out", str(out)]
        options += ["--data", str(self.out / "held_out" / "validation"), "--no-latency"]
        options += ["--modes", MODES, "--per-task", str(self.size.per_task)]
        command("evaluate", options, self._logs / "evaluate.log")
        found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
        return {name: found[name] for name in ("compared", "model", "before", "data", "tasks")}

    def _deploy(self, plan: HousePlan) -> dict[str, Any]:
        weights = {"before": self.weights, "after": str(self._tuned)}
        asked = ask_each(plan, weights, robot_setup(), self._pictures, self._logs)
        return {"house": plan.name, "asked": asked}


def houses(split: str) -> Iterator[int]:
    """Seeds of a split whose house has several rooms: one room has little to go and see."""
    for seed in seeds_of(split):
        if len(make_scene(seed, "house").rooms) >= LEAST_ROOMS:
            yield seed


def _summed(manifest: dict[str, Any], what: str) -> dict[str, int]:
    """Counts by reason, over all recordings."""
    total: dict[str, int] = {}
    for one in manifest.values():
        for reason, count in one[what].items():
            total[reason] = total.get(reason, 0) + count
    return dict(sorted(total.items(), key=lambda pair: -pair[1]))

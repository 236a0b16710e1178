"""`ipt-release`: a finished run as the folder that ships with the package.

    ipt-release --run runs/tiny/best --evaluation runs/tiny/test/evaluation.json \\
        --out ipt_model/weights/ipt_tiny --name ipt-tiny

Half precision, at most 20 MB, with the calibration found before, the recipe that made it and a
model card written from the evaluation, so that no number in it is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from ipt_model.weights.asking_style import AskingStyle
from ipt_model.weights.checkpoint import load_codec, load_model, save_folder
from ipt_model.weights.loading import hash_folder
from ipt_model.wording.tokenizer import Tokenizer
from ipt_training.evaluation.calibration import FILE_NAME as CALIBRATION
from ipt_training.folder_lock import check_folder
from ipt_training.shell.command import in_words

MOST_BYTES = 20_000_000
CARD = "README.md"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-release", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="best/ or final/ of a run")
    parser.add_argument("--evaluation", type=Path, required=True, help="evaluation.json on test")
    parser.add_argument("--memory", type=Path, help="evaluation.json on test rows with a memory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="ipt-tiny")
    given = parser.parse_args(arguments)
    return in_words("ipt-release", lambda: _release(given))


def _release(given: argparse.Namespace) -> int:
    check_folder(given.out)
    evaluation = _evaluation(given.evaluation)
    memory = None if given.memory is None else _evaluation(given.memory)
    size = release(given.run, given.out, given.name, measured(evaluation, memory))
    (given.out / CARD).write_text(card(given.out, evaluation, memory), encoding="utf-8")
    print(f"{given.out}: {size / 1e6:.1f} MB, {hash_folder(given.out)}")
    return 0


def _evaluation(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not (isinstance(found, dict) and isinstance(found.get("tasks"), dict)):
        raise ValueError(f"{path}: expected the evaluation.json that ipt-eval wrote")
    return found


def measured(
    evaluation: Mapping[str, Any], memory: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the weights carry of their evaluation: per task chance, and per mode the share of right
    answers, with a memory by how much of the view was seen; so that whoever shows an answer can
    say how often such answers are right."""
    found = {
        task: {
            "chance": part["chance"],
            **{mode: _rate(of["accuracy"]) for mode, of in part["modes"].items()},
        }
        for task, part in evaluation["tasks"].items()
    }
    for task, part in (memory or {"tasks": {}})["tasks"].items():
        if task in found:
            found[task]["by_seen"] = {
                mode: {name: _rate(rate) for name, rate in of.get("by_seen", {}).items()}
                for mode, of in part["modes"].items()
            }
    return found


def _rate(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("share", "low", "high", "n")}


def release(run: Path, out: Path, name: str, measured: Mapping[str, Any]) -> int:
    """Write the folder in half precision, with what was measured of it; returns its size in
    bytes."""
    model = load_model(run, "cpu", torch.float32)
    codec = load_codec(run, model.config, "cpu", torch.float32)
    shutil.rmtree(out, ignore_errors=True)
    config_dtype = model.half()
    save_folder(out, config_dtype, codec.half(), position_tables=False)
    Tokenizer.load(run).save(out)
    style = AskingStyle.load(run)
    training = {**style.training, "measured": dict(measured)}
    replace(style, model_id=name, training=training).save(out)
    if (run / CALIBRATION).is_file():
        shutil.copy(run / CALIBRATION, out / CALIBRATION)
    for stem, trained in recipes(training).items():
        text = yaml.safe_dump(dict(trained), sort_keys=False)
        (out / f"{stem}.yaml").write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in out.iterdir())
    if size > MOST_BYTES:
        raise ValueError(
            f"{out}: {size / 1e6:.1f} MB, expected at most {MOST_BYTES / 1e6:.0f}; "
            "train a narrower model"
        )
    return size


def runs(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is told of a run and of all that it comes from, each once and after everything that
    comes from it. A mean comes from its parts."""
    told: set[str] = set()
    oldest_first: list[Mapping[str, Any]] = []

    def tell(run: Mapping[str, Any]) -> None:
        # a part of a mean has a share as well, so runs are known again by their settings
        key = str(run.get("settings") or run.get("mean_of"))
        if not run or key in told:
            return
        told.add(key)
        for before in reversed([*run.get("mean_of", ()), run.get("began_from", {})]):
            tell(before)
        oldest_first.append(run)

    tell(training)
    return oldest_first[::-1]


def recipes(training: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The recipe of every run by the name of its file; the last one's is `recipe`."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs(training):
        if trained := run.get("recipe"):
            stem = f"recipe_{trained['name']}" if found else "recipe"
            if found.get(stem, trained) != trained:
                stem += f"_{run['settings']}"
            found[stem] = trained
    return found


def card(
    folder: Path, evaluation: Mapping[str, Any], memory: Mapping[str, Any] | None = None
) -> str:
    """The model card. memory: the evaluation of questions that come with a recalled view."""
    style = AskingStyle.load(folder)
    facts = style.training
    lines = [
        f"# {style.model_id}",
        "",
        "A small model of BAGEL's architecture (two experts, one attention; ViT and VAE pictures "
        f"in, text and drawn pictures out), {evaluation['model']['parameters'] / 1e6:.1f} million "
        "parameters, trained from nothing on generated rooms. It answers four kinds of spatial "
        "question about coloured shapes in such rooms and draws the view that the question is "
        "about.",
        "",
        "**For**: demonstrations, tests and experiments where a model must really answer and "
        "really draw, on any CPU. **Not for**: pictures of real places, questions in other words "
        "than the package's templates, or anything that moves a robot among people. Its drawings "
        "are small and blurry, and what it has not seen it guesses.",
        "",
        "## Training",
        "",
        f"{facts.get('examples', 0):,} showings of {facts.get('rows', 0):,} examples, supervision "
        f"`{facts.get('recipe', {}).get('supervision', '?')}`; `recipe.yaml` repeats it. Data "
        f"`{str(facts.get('dataset', '?'))[:16]}`.{_before(facts)}",
        "",
        f"## On {evaluation['data']['examples']:,} questions in {evaluation['data'].get('split')} "
        "houses",
        "",
        "| task | mode | right | 95 % | chance | unparsable | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, part in evaluation["tasks"].items():
        for mode, found in part["modes"].items():
            a = found["accuracy"]
            ece = "" if found["ece"] is None else f"{found['ece']:.3f}"
            lines.append(
                f"| {task} | {mode} | {_percent(a['share'])} | {_percent(a['low'])} to "
                f"{_percent(a['high'])} | {_percent(part['chance'])} | "
                f"{_percent(found['unparsable']['share'])} | {ece} |"
            )
    if memory is not None:
        lines += _remembering(memory)
    lines += ["", "## Drawings", "", "| task | variant | PSNR dB | object in place | right side |"]
    lines.append("|---|---|---|---|---|")
    for task, part in evaluation["tasks"].items():
        for variant, found in part.get("imagination_by_variant", {}).items():
            shares = [found.get(f"object_{k}", {}).get("share") for k in ("present", "side")]
            place, side = ("" if s is None else _percent(s) for s in shares)
            lines.append(f"| {task} | {variant} | {found['psnr_db']:.1f} | {place} | {side} |")
    clearance = evaluation["tasks"].get("clearance", {}).get("imagination", {})
    if "map_drawn" in clearance:
        drawn, filled = clearance["map_drawn"], clearance["map_inpainted"]
        lines += [
            "",
            f"Completed maps on unknown cells: IoU {drawn['iou']:.3f} (inpainting "
            f"{filled['iou']:.3f}), Brier {drawn['brier']:.3f} (inpainting {filled['brier']:.3f}, "
            f"left unknown {clearance['map_unknown']['brier']:.3f}).",
        ]
    if "latency_s" in evaluation:
        seconds = ", ".join(
            f"{mode} {1000 * t['median']:.0f} ms" for mode, t in evaluation["latency_s"].items()
        )
        machine = evaluation["machine"]
        lines += ["", f"Median time of a question on {machine['device']}, "
                  f"{machine['threads']} threads: {seconds}."]  # fmt: skip
    lines += [
        "",
        f"Weights `{hash_folder(folder)}`. The numbers are of `{evaluation['model']['hash']}`, "
        "the same weights in single precision.",
    ]
    return "\n".join(lines) + "\n"


def _remembering(evaluation: Mapping[str, Any]) -> list[str]:
    """How often answers are right where a part of the asked view was seen, by how much."""
    seen = sorted(
        {
            name
            for part in evaluation["tasks"].values()
            for found in part["modes"].values()
            for name in found.get("by_seen", {})
        },
        key=lambda name: int(name.split()[0]),
    )
    lines = [
        "",
        f"## With a memory, on {evaluation['data']['examples']:,} questions in "
        f"{evaluation['data'].get('split')} houses",
        "",
        "Right answers by how much of the asked view was seen. Reliance: how many answers left or "
        "right turn round when the picture that was answered from is mirrored.",
        "",
        f"| task | mode | all | 95 % | n | {' | '.join(f'{name} seen' for name in seen)} | ECE | "
        "reliance |",
        "|" + "---|" * (7 + len(seen)),
    ]
    for task, part in evaluation["tasks"].items():
        for mode, found in part["modes"].items():
            a, by_seen = found["accuracy"], found.get("by_seen", {})
            cells = [_percent(by_seen[k]["share"]) if k in by_seen else "" for k in seen]
            ece = "" if found["ece"] is None else f"{found['ece']:.3f}"
            relies = _percent(found["reliance"]["share"]) if "reliance" in found else ""
            lines.append(
                f"| {task} | {mode} | {_percent(a['share'])} | {_percent(a['low'])} to "
                f"{_percent(a['high'])} | {a['n']:,} | {' | '.join(cells)} | {ece} | {relies} |"
            )
    return lines


def _before(facts: Mapping[str, Any]) -> str:
    """Sentences on the runs that this one goes on from, the last first."""
    told = ""
    for run in runs(facts)[1:]:
        if parts := run.get("mean_of"):
            weighed = " and ".join(f"{p['share']:g} of `{_name(p)}`" for p in parts)
            told += f" Before that the mean of their weights, {weighed}."
            continue
        recipe = run.get("recipe", {})
        loss = recipe.get("loss", {})
        shown = f"{run.get('examples', 0):,} showings of {run.get('rows', 0):,} examples"
        if loss.get("looks_only"):
            shown += (
                f" through up to {loss['looks']} looks at the pictures of each, which ask where a "
                "named thing is or how many there are"
            )
        told += f" Before that `{recipe.get('name')}`: {shown}."
    return told


def _name(run: Mapping[str, Any]) -> str:
    return str(run["recipe"]["name"] if "recipe" in run else run["model_id"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    raise SystemExit(main())

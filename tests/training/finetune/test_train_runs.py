"""Whole small runs: they learn, go on where they stopped, and end in a folder that answers."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_runs import parts_of, small_settings

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode
from ipt_training.commands.train import main, train
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.finetune.building import build, merged_weights
from ipt_training.finetune.checkpoints import ResumeError, checkpoint_folders
from ipt_training.finetune.optimise import RunningAverage, make_optimiser, rate_factor
from ipt_training.finetune.trainer import StepReport, Trainer, make_accelerator, quick_products
from ipt_training.recipe.settings import OptimiserSettings, SettingsError, TrainingRecipe

pytestmark = pytest.mark.slow(45)


def run(settings: TrainingRecipe, out: Path, stop_after: int | None = None) -> list[StepReport]:
    """Train in `out`, from its newest checkpoint; the reports of the steps made now."""
    start, steps = parts_of(settings, out)
    trainer = Trainer(settings, start, out, make_accelerator(settings))
    trainer.resume()
    reports: list[StepReport] = []

    def on_step(report: StepReport) -> bool:
        reports.append(report)
        return stop_after is None or report.step < stop_after

    trainer.run(steps, on_step)
    return reports


def numbers(reports: list[StepReport]) -> list[float]:
    """Everything that must come out the same."""
    return [v for r in reports for v in (*r.losses.values(), r.rate, r.norm) if v == v]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("supervision", ["mixed", "given"])
def test_a_resumed_run_is_the_uninterrupted_one(data, vae, tmp_path, kind, supervision) -> None:
    """To the last bit: weights, average, optimiser, chance and position all come back. What is
    given is not drawn, so some weights never learn."""
    changes = {"optimiser": {"kind": kind}, "supervision": supervision}
    settings = small_settings(data, vae, examples=40, dropout={"inputs": 0.5}, **changes)
    whole = run(settings, tmp_path / "whole")
    first = run(settings, tmp_path / "parts", stop_after=2)
    rest = run(settings, tmp_path / "parts")
    assert [r.step for r in first + rest] == [r.step for r in whole] == [1, 2, 3, 4, 5]
    assert numbers(first + rest) == numbers(whole)
    for name in ("model", "average", "optimiser"):
        a, b = (
            (checkpoint_folders(tmp_path / part)[-1] / f"{name}.safetensors").read_bytes()
            for part in ("whole", "parts")
        )
        assert a == b, name


def test_a_damaged_or_foreign_checkpoint_is_refused(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae)
    run(settings, tmp_path, stop_after=1)
    other = small_settings(data, vae, seed=5)
    with pytest.raises(ResumeError, match="other settings"):
        run(other, tmp_path)
    newest = checkpoint_folders(tmp_path)[-1] / "optimiser.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(ResumeError, match="delete it"):
        run(settings, tmp_path)


def test_only_whole_checkpoints_count_and_old_ones_go(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae, examples=40, run={"save": 1, "keep": 2})
    run(settings, tmp_path)
    names = [p.name for p in checkpoint_folders(tmp_path)]
    assert names == ["step-00000004", "step-00000005"]
    (tmp_path / "checkpoints" / "step-00000009").mkdir()  # as if writing had been cut off
    assert checkpoint_folders(tmp_path)[-1].name == "step-00000005"


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_it_learns_what_it_is_shown(data, vae, tmp_path, kind) -> None:
    optimiser = {"rate": 5e-3, "warmup": 5, "kind": kind}
    settings = small_settings(
        data, vae, examples=60 * 8, batch={"examples": 8}, optimiser=optimiser
    )
    reports = run(settings, tmp_path)

    def mean(part: str, some: list[StepReport]) -> float:
        return float(np.mean([r.losses[part] for r in some]))

    assert mean("ce", reports[-10:]) < 0.3 * mean("ce", reports[:5])
    assert mean("mse", reports[-10:]) < 0.9 * mean("mse", reports[:5])
    assert mean("auxiliary", reports[-10:]) < 0.7 * mean("auxiliary", reports[:5])


def test_a_base_learns_to_look_and_nothing_else(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae, loss={"looks": 2, "looks_only": True}, examples=60 * 8)
    start, steps = parts_of(settings, tmp_path)
    before = {n: p.detach().clone() for n, p in start.model.named_parameters()}
    trainer = Trainer(settings, start, tmp_path, make_accelerator(settings))
    reports: list[StepReport] = []
    trainer.run(steps, reports.append)
    losses = [r.losses["auxiliary"] for r in reports]
    assert np.nanmean(losses[-10:]) < 0.8 * np.nanmean(losses[:5])
    assert all(math.isnan(r.losses["ce"]) and math.isnan(r.losses["mse"]) for r in reports)
    moved = {n for n, p in start.model.named_parameters() if not torch.equal(p, before[n])}
    assert any(n.startswith("vit_model.") for n in moved)
    assert not any("moe_gen" in n or n.startswith(("llm2vae", "vae2llm")) for n in moved)


@pytest.mark.parametrize("supervision", ["label", "text_cot", "given"])
def test_supervisions_without_drawing_train_what_they_use(
    data, vae, tmp_path, supervision
) -> None:
    settings = small_settings(data, vae, supervision=supervision, examples=16)
    reports = run(settings, tmp_path)
    assert all(np.isnan(r.losses["mse"]) and r.losses["ce"] > 0 for r in reports)
    trained = {n for n, p in build(settings).model.named_parameters() if p.requires_grad}
    assert any("_moe_gen" in name for name in trained) == (supervision == "given")


def test_the_folder_at_the_end_answers_and_says_how_it_was_made(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae, run={"validate": 2, "validation_examples": 8}).to_dict()
    settings["data"]["validation"] = str(data)
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(settings))
    out = tmp_path / "run"
    assert main([str(recipe), "--out", str(out), "--override", "name=tried"]) == 0
    imaginer = Imaginer.from_pretrained(out / "final", device="cpu")
    example = example_from_row(Dataset(data)[0])
    answer = imaginer.ask(example.question, Mode.IMAGINE, flow_steps=2)
    assert answer.imagined_views[0].shape == (64, 64, 3) and imaginer.model_id == "tried"
    facts = imaginer.style.training
    assert facts["dataset"] == Dataset(data).digest() and facts["examples"] == 24
    assert facts["recipe"]["supervision"] == "mixed"
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    validated = [line for line in log if "validation/mean" in line]
    assert [line["step"] for line in validated] == [2, 3]
    assert {"validation/answer/path", "validation/imagine/counting"} <= set(validated[0])
    best = json.loads((out / "best" / "validation.json").read_text())
    assert best["mean"] == max(line["validation/mean"] for line in validated)
    assert not any(
        "auxiliary" in n for n in Imaginer.from_pretrained(out / "best")._open.model.state_dict()
    )


def test_stopping_by_the_clock_leaves_a_checkpoint(data, vae, tmp_path) -> None:
    settings = small_settings(data, vae)
    outcome = train(settings, tmp_path, minutes=0.0)
    assert not outcome.finished and outcome.step == 1 and not (tmp_path / "final").exists()
    outcome = train(settings, tmp_path)
    assert outcome.finished and outcome.step == 3 and (tmp_path / "final").is_dir()


def test_a_wrong_recipe_ends_with_a_sentence(tmp_path, capsys) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("name: a\nsupervision: ipt\nexamples: 8\ndata: {train: x}\n")
    assert main([str(recipe), "--out", str(tmp_path)]) == 2
    assert "model.vae" in capsys.readouterr().err


def test_loading_ahead_in_another_process_changes_nothing(data, vae, tmp_path) -> None:
    plain = run(small_settings(data, vae), tmp_path / "a")
    ahead = run(small_settings(data, vae, data={"workers": 1}), tmp_path / "b")
    assert numbers(plain) == numbers(ahead)


def test_fresh_examples_need_no_dataset(data, vae, tmp_path) -> None:
    settings = small_settings(
        data,
        vae,
        supervision="ipt_wrong",
        examples=8,
        batch={"examples": 4},
        data={"train": "", "fresh": {"size_px": 64, "tasks": [["path", 1.0]]}},
    )
    outcome = train(settings, tmp_path)
    assert outcome.finished and outcome.step == 2


# -- parts
def test_checkpointing_saves_memory_and_changes_nothing(data, vae, tmp_path) -> None:
    plain = run(small_settings(data, vae), tmp_path / "a")
    saving = run(small_settings(data, vae, run={"checkpointing": True}), tmp_path / "b")
    assert numbers(plain) == pytest.approx(numbers(saving), rel=1e-5)


def test_bfloat16_stays_near_float32(data, vae, tmp_path) -> None:
    plain = run(small_settings(data, vae), tmp_path / "a", stop_after=1)[0]
    rough = run(small_settings(data, vae, run={"precision": "bfloat16"}), tmp_path / "b", 1)[0]
    assert rough.losses["ce"] == pytest.approx(plain.losses["ce"], rel=0.02)
    assert rough.losses["mse"] == pytest.approx(plain.losses["mse"], rel=0.02)
    assert rough.losses != plain.losses


def test_quick_products_end_with_their_block_and_leave_gpus_alone() -> None:
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    with quick_products(torch.device("cuda")):
        assert products.fp32_precision == before
    a, b = torch.randn(64, 48), torch.randn(48, 32)
    with pytest.raises(KeyError), quick_products(torch.device("cpu")):
        assert products.fp32_precision != before
        assert torch.allclose(a @ b, (a.double() @ b.double()).float(), atol=0.2)
        raise KeyError
    assert products.fp32_precision == before


def test_the_rate_rises_stays_and_falls() -> None:
    settings = OptimiserSettings(warmup=10, decay=0.4, final=0.1)
    factors = [rate_factor(step, 100, settings) for step in range(100)]
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[10:60] == [1.0] * 50
    assert all(a > b for a, b in pairwise(factors[60:]))
    assert 0.1 < factors[-1] < 0.11
    assert rate_factor(99, 100, OptimiserSettings(warmup=0)) == 1.0


def test_the_average_follows_its_definition() -> None:
    module = torch.nn.Linear(2, 1)
    average = RunningAverage(module, 0.5)
    expected = module.weight.detach().clone()
    for step in range(4):
        with torch.no_grad():
            module.weight += 1.0
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
        average.update(step)
    own = module.weight.detach().clone()
    with average.applied():
        assert torch.allclose(module.weight, expected)
    assert torch.equal(module.weight, own)


def test_norms_biases_and_the_word_table_do_not_decay(data, vae, tmp_path) -> None:
    start, _ = parts_of(small_settings(data, vae), tmp_path)
    optimiser = make_optimiser(start.model, OptimiserSettings(weight_decay=0.1))
    names = {id(p): n for n, p in start.model.named_parameters()}
    decays, stays = ([names[id(p)] for p in group["params"]] for group in optimiser.param_groups)
    assert [g["weight_decay"] for g in optimiser.param_groups] == [0.1, 0.0]
    assert "language_model.model.embed_tokens.weight" in stays
    assert all(n.endswith(("bias", "norm.weight", "weight")) for n in stays)
    assert all(start.model.get_parameter(n).ndim == 2 for n in decays)
    assert not any("pos_embed.pos_embed" in n for n in decays + stays)


def test_muon_turns_the_layers_matrices_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.Linear(6, 4)])
    module = torch.nn.ModuleDict({"decoder": torch.nn.ModuleDict({"layers": layers})})
    twin = copy.deepcopy(module)
    settings = OptimiserSettings(kind="muon", rate=0.1, weight_decay=0.5)
    ours, adam = (
        make_optimiser(module, settings),
        make_optimiser(twin, dataclasses.replace(settings, kind="adamw")),
    )
    weight, bias = layers[0].weight, layers[0].bias
    momentum = torch.zeros(4, 6)
    for _ in range(3):
        before, gradient = weight.detach().clone(), torch.randn(4, 6)
        for linear, optimiser in ((layers[0], ours), (twin["decoder"]["layers"][0], adam)):
            linear.weight.grad, linear.bias.grad = gradient.clone(), gradient[:, 0].clone()
            optimiser.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        left, _, right = torch.linalg.svd(0.95 * momentum + 0.05 * gradient, full_matrices=False)
        moved = (before * (1 - 0.1 * 0.5) - weight.detach()) / (0.1 * 0.2 * 6**0.5)
        # along every singular direction by about one, whatever the gradient's size there
        turned = left.T @ moved @ right.T
        assert torch.all((turned.diag() > 0.6) & (turned.diag() < 1.3))
        assert (turned - turned.diag().diag()).abs().max() < 0.1
        assert torch.allclose(bias, twin["decoder"]["layers"][0].bias, atol=1e-6)


# -- adapters
@pytest.mark.parametrize("narrow", [False, True])
def test_adapters_alone_are_trained_and_merge_into_the_weights(
    data, vae, tmp_path, narrow
) -> None:
    """On weights of float32, and of bfloat16 as the large model's are."""
    base = tmp_path / "base"
    train(small_settings(data, vae, examples=8), base)
    settings = small_settings(
        data,
        vae,
        examples=16,
        model={
            "init": str(base / "final"),
            "vae": "",
            "dtype": "bfloat16" if narrow else "float32",
            **{key: {} for key in ("llm_config", "vit_config", "config", "style")},
        },
        lora={"rank": 2, "alpha": 4},
        run={"precision": "bfloat16" if narrow else "float32"},
    )
    start, steps = parts_of(settings, tmp_path / "lora")
    before = {k: v.clone() for k, v in merged_weights(start.model).items()}
    trained = [n for n, p in start.model.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in n for n in trained)
    assert any("_moe_gen" in n for n in trained) and any("down_proj.lora" in n for n in trained)
    trainer = Trainer(settings, start, tmp_path / "lora", make_accelerator(settings))
    trainer.run(steps)
    after = merged_weights(start.model)
    assert set(after) == set(before)
    changed = {n for n in after if not torch.equal(after[n], before[n])}
    assert changed and all("_proj" in n for n in changed)
    stored = checkpoint_folders(tmp_path / "lora")[-1] / "model.safetensors"
    assert stored.stat().st_size < 0.5 * sum(v.numel() * 4 for v in after.values())
    assert {p.dtype for p in start.model.parameters() if p.requires_grad} == {torch.float32}
    batch = steps[0][0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        trainer.export(tmp_path / "out")
        plain = Imaginer.from_pretrained(tmp_path / "out", "cpu")._open.model(batch.packed)
        with trainer.averaged():
            adapted = start.model(batch.packed)
    assert torch.allclose(adapted.ce, plain.ce, atol=0.1 if narrow else 1e-4)


def test_a_run_says_what_it_began_from(data, vae, tmp_path) -> None:
    first = small_settings(data, vae, examples=16, name="first")
    train(first, tmp_path / "first")
    init = {"model": {"init": str(tmp_path / "first" / "final"), "vae": str(vae)}}
    second = TrainingRecipe.from_dict({**first.to_dict(), "name": "second", **init})
    train(second, tmp_path / "second")
    facts = json.loads((tmp_path / "second" / "final" / "ipt.json").read_text())["training"]
    assert facts["recipe"]["name"] == "second"
    assert facts["began_from"]["recipe"]["name"] == "first" and facts["began_from"]["step"] == 2
    assert "began_from" not in facts["began_from"]


def test_a_run_that_gets_no_better_ends_with_its_best_weights(data, vae, tmp_path) -> None:
    settings = small_settings(
        data,
        vae,
        examples=80,
        optimiser={"rate": 1e-12, "average": 0.0},
        data={"validation": str(data)},
        run={"validate": 1, "validation_examples": 4, "patience": 2},
    )
    outcome = train(settings, tmp_path)
    assert outcome.finished and outcome.step == 3, "two looks after the first were no better"
    assert outcome.best["step"] == 1
    best, final = (load_file(tmp_path / n / "ema.safetensors") for n in ("best", "final"))
    assert best.keys() == final.keys() and all(torch.equal(best[k], final[k]) for k in best)
    again = train(settings, tmp_path)
    assert again.finished and again.step == 3, "it does not go on where it gave up"


def test_patience_needs_something_to_judge_by(data, vae) -> None:
    with pytest.raises(SettingsError, match=r"run\.patience: needs run\.validate"):
        small_settings(data, vae, run={"patience": 1})

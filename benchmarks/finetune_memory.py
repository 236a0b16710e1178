"""What fine-tuning BAGEL-7B-MoT takes of a GPU's memory, counted on a model without storage.

    python benchmarks/finetune_memory.py    # prints the table and puts it into docs/fine_tuning.md

Weights, gradients, optimiser and average are counted exactly, parameter by parameter, as the
recipes make them. Activations are an estimate: what checkpointing keeps, and one layer at work.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pages import put

from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_training.finetune.building import add_adapters
from ipt_training.recipe.settings import TrainingRecipe

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "finetune_memory.json"
GB = 1e9
#: Recipe, processes that share what can be shared, and what was added on the command line.
RUNS = (
    ("robot_bagel", 1, ()),
    ("robot_bagel", 1, ("lora.rank=16", "batch.tokens=8192")),
    ("bagel_full", 8, ()),
)


def counted(recipe: str, processes: int, overrides: tuple[str, ...]) -> dict[str, object]:
    """Bytes by what they are for, of one process."""
    path = ROOT / "config" / "training" / f"{recipe}.yaml"
    settings = TrainingRecipe.load(path, list(overrides))
    with torch.device("meta"):
        model = BagelModel(BagelConfig())
        model = model.to(getattr(torch, settings.model.dtype))
        if settings.lora.rank:
            add_adapters(model, settings)
    trained = [p for p in model.parameters() if p.requires_grad]
    moved = sum(p.numel() for p in trained)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gradients = sum(p.numel() * p.element_size() for p in trained)
    config = model.config.llm_config
    hidden, mlp = config["hidden_size"], config["intermediate_size"]
    tokens, layers = settings.batch.tokens, config["num_hidden_layers"]
    kept = tokens * hidden * 2 * layers
    # one layer again, with its gradients: three of the MLP's width, eight of the model's
    working = 2 * tokens * (3 * mlp + 8 * hidden) * 2
    share = 1 / processes if settings.run.shard else 1.0
    parts = {
        "weights": weights * share,
        "gradients": gradients * share,
        "optimiser": 2 * gradients * share,
        "average": 4 * moved * share,
        "activations": float(kept + working),
    }
    return {
        "recipe": recipe,
        "overrides": list(overrides),
        "processes": processes,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": moved,
        "gb": {name: round(n / GB, 2) for name, n in parts.items()},
        "total_gb": round(sum(parts.values()) / GB, 1),
    }


def table(runs: list[dict[str, object]]) -> str:
    """For the page."""
    lines = [
        "| recipe | trained | weights | gradients | optimiser | average | "
        "activations (estimate) | of one GPU |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for run in runs:
        gb = run["gb"]
        assert isinstance(gb, dict)
        more = " ".join(f"`{o}`" for o in run["overrides"])  # type: ignore[attr-defined]
        name = f"`{run['recipe']}`{' ' + more if more else ''}"
        if run["processes"] != 1:
            name += f", {run['processes']} GPUs"
        share = f"{int(run['trained']) / 1e6:,.0f} M"  # type: ignore[call-overload]
        lines.append(
            f"| {name} | {share} | "
            + " | ".join(f"{gb[k]:.1f}" for k in gb)
            + f" | {run['total_gb']} GB |"
        )
    return "\n".join(lines)


def main() -> None:
    runs = [counted(*run) for run in RUNS]
    RESULTS.write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")
    print(table(runs))
    page = ROOT / "docs" / "fine_tuning.md"
    if page.is_file():
        put(page, "memory", table(runs))


if __name__ == "__main__":
    main()

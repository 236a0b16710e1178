"""How well a model under training answers questions about houses it never sees.

The averaged weights are asked the same validation examples every time, in the modes that the
supervision trains; the best checkpoint of a run is the one with the highest mean of these
accuracies.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipt_model.question import Mode
from ipt_model.weights.loading import LoadedModel
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import any_example
from ipt_training.datasets.supervision import Supervision
from ipt_training.evaluation.asking import BatchAsker
from ipt_training.example import Example
from ipt_training.finetune.building import Start

#: The modes that a supervision trains, and is chosen by.
OWN_MODES: dict[Supervision, tuple[Mode, ...]] = {
    "label": (Mode.ANSWER,),
    "label_vae": (Mode.ANSWER,),
    "text_cot": (Mode.ANSWER,),
    "ipt": (Mode.IMAGINE,),
    "ipt_wrong": (Mode.IMAGINE,),
    "mixed": (Mode.ANSWER, Mode.IMAGINE),
    "given": (Mode.GIVEN,),
}


def validation_examples(
    dataset: Dataset, count: int, tasks: tuple[str, ...] = ()
) -> list[Example]:
    """The first examples of the kept tasks: datasets have their tasks in turn, so these are
    balanced."""
    kinds = dataset.column("task")
    rows = [k for k, kind in enumerate(kinds) if not tasks or kind in tasks][:count]
    return [any_example(dataset[k]) for k in rows]


def loaded_model(start: Start) -> LoadedModel:
    """The model being trained, as whoever asks questions takes it."""
    device = next(start.model.parameters()).device
    return LoadedModel(
        start.model, start.codec, start.tokenizer, start.style, "in training", device
    )


def accuracies(
    loaded: LoadedModel, examples: Sequence[Example], modes: Sequence[Mode]
) -> dict[str, float]:
    """`mode/task` -> share of right answers, and `mean` over all of them."""
    right: dict[str, list[bool]] = {}
    for place, answers in BatchAsker(loaded).ask(examples, modes):
        example = examples[place]
        for mode, answer in answers.items():
            name = f"{mode.value}/{example.question.task.value}"
            right.setdefault(name, []).append(answer.text == example.answer)
    out = {name: sum(values) / len(values) for name, values in sorted(right.items())}
    out["mean"] = sum(out.values()) / len(out)
    return out

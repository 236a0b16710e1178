"""From one stored row to what a model is trained on: the seven supervisions.

Rows are stored once, in the ipt layout. The supervision is chosen on reading, so one dataset
serves the whole study. Wording and order of the parts come from `ipt_model.wording.prompts`; token
ids, noise and losses belong to the trainer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ipt_model.wording.prompts import (
    ANSWER_CLOSE,
    ANSWER_OPEN,
    THINK_CLOSE,
    THINK_OPEN,
    Picture,
    PromptStyle,
    answer_text,
    option_names,
    prompt_parts,
    think_text,
)
from ipt_model.wording.rows import stored_row
from ipt_training.datasets.public import system_prompt_of
from ipt_training.datasets.schema import (
    OWN_COLUMNS,
    Row,
    SchemaError,
    decode_image,
    example_from_row,
    own_columns,
)
from ipt_training.example import Example

Supervision = Literal["label", "text_cot", "ipt", "mixed", "label_vae", "ipt_wrong", "given"]

#: The paper's four, then the three controls it lacks.
SUPERVISIONS: dict[Supervision, str] = {
    "label": "the answer only",
    "text_cot": "reasoning in words, then the answer",
    "ipt": "a think sentence, the true view drawn under the flow loss, then the answer",
    "mixed": "half ipt, half label, each under its own system prompt",
    "label_vae": "label with the inputs also as VAE tokens: is it the encoding?",
    "ipt_wrong": "ipt with another example's view: is it the content of the picture?",
    "given": "the true view in the context without flow loss: is it the drawing?",
}


@dataclass(frozen=True)
class Sample:
    """One training sequence before tokens.

    prompt: texts and places of `inputs`, no loss. target: texts with cross-entropy loss and at
    most one picture. flow_loss: whether the picture is also learned to be drawn (a noisy copy goes
    before the clean one). vae_inputs: whether the inputs enter as VAE tokens too. example: whose
    facts auxiliary losses read; None for rows of public sets.
    """

    inputs: tuple[np.ndarray, ...]
    prompt: tuple[str | Picture, ...]
    target: tuple[str | np.ndarray, ...]
    flow_loss: bool
    vae_inputs: bool
    example: Example | None = None


def row_from_example(
    example: Example, *, index: int, split: str, level: str, image_format: str = "png"
) -> Row:
    """The row to store, in the ipt layout of the published schema."""
    return stored_row(
        example.question,
        example.true_view,
        example.think,
        example.answer_index,
        own_columns(example, index=index, split=split, level=level),
        image_format,
    )


def check_supervision(supervision: str) -> None:
    if supervision not in SUPERVISIONS:
        raise ValueError(f"supervision {supervision!r} is not one of {', '.join(SUPERVISIONS)}")


def has_picture(supervision: Supervision, draw: bool) -> bool:
    """Whether a picture stands before the answer. draw: whether this showing of `mixed` does."""
    return supervision in ("ipt", "ipt_wrong", "given") or (supervision == "mixed" and draw)


def supervise(
    example: Example,
    supervision: Supervision,
    style: PromptStyle,
    *,
    draw: bool = True,
    wrong: np.ndarray | None = None,
) -> Sample:
    """The sequence that trains one example.

    draw: for `mixed`, whether this showing draws (ipt) or only answers. wrong: for `ipt_wrong`,
    the view of another example, H x W x 3 uint8 RGB.
    """
    check_supervision(supervision)
    question = example.question
    view = example.true_view
    if supervision == "ipt_wrong":
        if wrong is None:
            raise ValueError("ipt_wrong: needs `wrong`, the view of another example")
        view = wrong
    name = option_names(question, style.answer_style)[example.answer_index]
    draws = has_picture(supervision, draw)
    target: tuple[str | np.ndarray, ...]
    if draws:
        target = (think_text(example.think), view, answer_text(name, drawn=True))
    elif supervision == "text_cot":
        reasoning = f"{THINK_OPEN}{example.reasoning}{THINK_CLOSE}"
        target = (reasoning + answer_text(name, drawn=False),)
    else:
        target = (answer_text(name, drawn=False),)
    return Sample(
        inputs=question.images,
        # reasoning in words stands under the same system prompt as reasoning by picture
        prompt=prompt_parts(question, style, draws=draws or supervision == "text_cot"),
        target=target,
        flow_loss=draws and supervision != "given",
        vae_inputs=draws or supervision in ("mixed", "label_vae"),
        example=example,
    )


def supervise_row(
    row: Row,
    supervision: Supervision,
    style: PromptStyle,
    *,
    draw: bool = True,
    wrong: np.ndarray | None = None,
) -> Sample:
    """As `supervise`, also for rows of public sets, whose texts are taken as they are."""
    if set(OWN_COLUMNS.names) <= set(row.own):
        return supervise(example_from_row(row), supervision, style, draw=draw, wrong=wrong)
    check_supervision(supervision)
    # a row that was made to be answered is answered
    draws = has_picture(supervision, draw) and not (supervision == "mixed" and not row.drawn)
    view: np.ndarray | None = None
    if draws:
        if len(row.drawn) != 1 or len(row.outputs) != 2:
            raise SchemaError(
                f"{supervision}: needs one drawn picture between two texts, the row has "
                f"{len(row.drawn)} and {len(row.outputs)}"
            )
        view = wrong if supervision == "ipt_wrong" else decode_image(row.drawn[0])
        if view is None:
            raise ValueError("ipt_wrong: needs `wrong`, the view of another example")
    instruction = "".join(row.instructions)
    target: tuple[str | np.ndarray, ...]
    if view is not None:
        target = (row.outputs[0], view, row.outputs[1])
    elif supervision == "text_cot":
        if not (len(row.outputs) == 1 and row.outputs[0].lstrip().startswith(THINK_OPEN)):
            raise SchemaError(
                "text_cot: the row holds no reasoning in words, use another supervision"
            )
        target = row.outputs
    else:
        pattern = re.escape(ANSWER_OPEN) + r".*?" + re.escape(ANSWER_CLOSE)
        found = re.search(pattern, row.outputs[-1], re.DOTALL)
        if found is None:
            raise SchemaError(
                f"{supervision}: no {ANSWER_OPEN} in the last text {row.outputs[-1]!r}"
            )
        target = (found.group(0),)
        instruction = _swap_system_prompt(instruction, style)
    return Sample(
        inputs=tuple(decode_image(data) for data in row.inputs),
        prompt=(*(Picture(i) for i in range(row.num_input_images)), instruction),
        target=target,
        flow_loss=draws and supervision != "given",
        vae_inputs=draws or supervision in ("mixed", "label_vae"),
    )


def _swap_system_prompt(instruction: str, style: PromptStyle) -> str:
    """Ask for an answer without drawing where the stored text opens with a prompt to draw, this
    style's or any other that names the tags of a thought."""
    asked = style.system(draws=True)
    opening = asked if instruction.startswith(asked) else system_prompt_of(instruction)
    if not opening or THINK_OPEN not in opening:
        return instruction
    return style.system(draws=False) + instruction[len(opening) :]

"""A question made ready for one model: prompts as token ids, pictures at the sizes it looks at.

What is here is known before the model runs: how long the prompts are, how large the view will be,
and which questions may be answered in step because theirs are alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..question import Mode, Question, QuestionError
from ..weights.loading import LoadedModel
from ..wording import prompts
from .seen_ground import SeenGround

#: Modes in which a view is shown in place of a drawing.
SHOWING = (Mode.GIVEN, Mode.RECALL)


@dataclass(frozen=True)
class SizedPicture:
    """One picture at the two sizes, H x W x 3 uint8."""

    vae: np.ndarray
    vit: np.ndarray


@dataclass(frozen=True)
class Prompt:
    """kind: what it asks for. parts: in order, a text's inner ids or the place of a picture.
    encodings: what pictures enter as."""

    kind: Literal["answer", "draw", "view"]
    parts: tuple[list[int] | prompts.Picture, ...]
    encodings: tuple[str, ...]


class Prepared:
    """One question for one model. Nothing is computed before it is needed, and nothing twice."""

    def __init__(self, loaded: LoadedModel, question: Question) -> None:
        self.loaded, self.question = loaded, question
        self._prompts: dict[str, Prompt] = {}

    # -- what will be read
    @property
    def rests_on_view(self) -> bool:
        """Whether an answer after a view is read from that view and the question's words alone."""
        return self.question.task in self.loaded.style.rests_on_view

    def prompt(self, mode: Mode) -> Prompt:
        """What is read first in this mode: the prompt for the answer at once or for a picture;
        for a view that is shown and rested on, its words alone."""
        kind: Literal["answer", "draw", "view"] = "answer" if mode is Mode.ANSWER else "draw"
        if mode in SHOWING and self.rests_on_view:
            kind = "view"
        if kind not in self._prompts:
            style, tokenizer = self.loaded.style, self.loaded.tokenizer
            draws = kind != "answer"
            parts = prompts.prompt_parts(self.question, style.prompt, draws=draws)
            if kind == "view":
                parts = tuple(p for p in parts if isinstance(p, str))
            ids = tuple(tokenizer.encode(p) if isinstance(p, str) else p for p in parts)
            encodings = style.inputs.imagine if draws else style.inputs.answer
            self._check_length(sum(len(i) for i in ids if isinstance(i, list)), draws)
            self._prompts[kind] = Prompt(kind, ids, self._available(encodings))
        return self._prompts[kind]

    @cached_property
    def draft(self) -> list[int]:
        """Ids of the text before the drawing, unless the model writes its own."""
        return self.loaded.tokenizer.encode(prompts.think_text(self.think))

    @cached_property
    def think(self) -> str:
        return prompts.think_sentence(self.question)

    @property
    def given_encodings(self) -> tuple[str, ...]:
        return self._available(self.loaded.style.inputs.given)

    def resized(self, image: np.ndarray) -> SizedPicture:
        """A picture at the sizes at which the model looks."""
        sizes = self.loaded.style.image_sizes
        vae = sizes.vae_picture(image)
        return SizedPicture(vae, sizes.vit_picture(vae))

    def shown(self, mode: Mode) -> np.ndarray:
        """The picture that mode GIVEN or RECALL shows in place of a drawing."""
        question = self.question
        if mode is Mode.GIVEN and question.true_view is not None:
            return question.true_view
        if mode is Mode.RECALL and question.recalled is not None:
            return question.recalled.filled
        raise QuestionError(f"mode {mode.value!r}: the question has no view to show")

    @cached_property
    def ground(self) -> SeenGround | None:
        """What was seen of the view, at the size that will be drawn."""
        recalled = self.question.recalled
        return None if recalled is None else SeenGround.of(recalled, *self.view_size)

    # -- sizes
    def tokens(self, mode: Mode) -> int:
        """Tokens of the whole prompt."""
        prompt, config = self.prompt(mode), self.loaded.model.config
        count = sum(len(part) + 2 for part in prompt.parts if isinstance(part, list))
        for vae, vit in map(self._sizes, self.question.images if prompt.kind != "view" else ()):
            if "vae" in prompt.encodings:
                count += vae[0] * vae[1] // config.latent_stride**2 + 2
            if "vit" in prompt.encodings:
                count += vit[0] * vit[1] // config.vit.patch**2 + 2
        return count

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width that will be drawn."""
        if self.question.view_size is not None:
            height, width = self.question.view_size
            if height < 1 or width < 1:
                raise QuestionError(
                    f"view_size: expected height, width > 0, got {height} x {width}"
                )
            width, height = self.loaded.style.image_sizes.vae.fit(width, height)
            return height, width
        if self.question.recalled is not None:
            return self._sizes(self.question.recalled.rgb)[0]
        if not self.question.images:
            raise QuestionError("view_size: needed to draw a view when the question has no images")
        return self._sizes(self.question.images[-1])[0]

    @property
    def drawable(self) -> bool:
        """Whether the question says how large a view to draw."""
        asked = self.question
        return bool(asked.images) or asked.view_size is not None or asked.recalled is not None

    @property
    def view_tokens(self) -> int:
        height, width = self.view_size
        return height * width // self.loaded.model.config.latent_stride**2

    def shown_tokens(self, mode: Mode) -> int:
        """Of the picture that modes GIVEN and RECALL show."""
        vae, vit = self._sizes(self.shown(mode))
        config, count = self.loaded.model.config, 0
        if "vae" in self.given_encodings:
            count += vae[0] * vae[1] // config.latent_stride**2
        if "vit" in self.given_encodings:
            count += vit[0] * vit[1] // config.vit.patch**2
        return count

    def answer_cost(self, entries: int) -> tuple[str, int]:
        """What answering for so many entries is: options scored, by their tokens, or text written,
        whose length nobody knows before."""
        if not self.question.options:
            return "write answer", entries
        names = prompts.option_names(self.question, self.loaded.style.prompt.answer_style)
        ids = [self.loaded.tokenizer.encode(name) for name in names]
        return "score options", entries * sum(len(own) + 2 for own in ids)

    def layout(self, modes: Iterable[Mode]) -> Hashable:
        """Equal for questions that these modes read, draw and answer in as many tokens."""
        modes = set(modes)
        texts = [
            [len(part) if isinstance(part, list) else part for part in self.prompt(mode).parts]
            for mode in sorted(modes)
        ]
        sizes = [self._sizes(image) for image in self.question.images]
        view = self.view_size if Mode.IMAGINE in modes else None
        shown = [self._sizes(self.shown(m)) for m in (Mode.GIVEN, Mode.RECALL) if m in modes]
        think = None if modes == {Mode.ANSWER} else self.think
        known = None
        if Mode.IMAGINE in modes and self.ground is not None:
            # all of a batch hold to something or none does: a drawing that holds moves otherwise
            known = bool(self.ground.cells(self.loaded.model.config.latent_stride).any())
        rests = self.rests_on_view
        return str((texts, sizes, view, shown, known, think, rests, len(self.question.options)))

    # -- inside
    def _sizes(self, image: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
        """Height and width of a picture as VAE and ViT see it."""
        sizes = self.loaded.style.image_sizes
        width, height = sizes.vae.fit(image.shape[1], image.shape[0])
        vit_width, vit_height = sizes.vit.fit(width, height)
        return (height, width), (vit_height, vit_width)

    def _available(self, encodings: tuple[str, ...]) -> tuple[str, ...]:
        return encodings if self.loaded.codec is not None else ("vit",)

    def _check_length(self, count: int, draws: bool) -> None:
        style = self.loaded.style
        limit = int(self.loaded.model.config.llm_config["max_position_embeddings"])
        spare = style.max_answer_tokens + (style.max_think_tokens if draws else 0)
        if count > limit - spare:
            raise QuestionError(
                f"text: the question has {count} tokens with its prompt, "
                f"this model reads at most {limit - spare}"
            )

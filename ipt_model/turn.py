"""One answer, stage by stage: read the question, think, draw, look at the drawing, answer.

A `Turn` holds what one question needs on one loaded model; `Imaginer` decides the mode and calls
its stages in order. Which context a text or picture enters follows the reference's rules for
guided drawing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import prompts
from .clock import Clock
from .context import Context, GuidedContexts
from .drawing import Drawing, Drawn
from .extraction import Reading, read_answer
from .loading import LoadedModel
from .option_scores import OptionScores, normalise, score_options
from .question import Mode, Outcome, Question, QuestionError

_THOUGHT = re.compile(
    f"{prompts.THINK_OPEN}(?P<think>.*){prompts.THINK_CLOSE}{prompts.IMAGE_START}", re.DOTALL
)


@dataclass(frozen=True)
class Seen:
    """One picture at the two sizes, H x W x 3 uint8."""

    vae: np.ndarray
    vit: np.ndarray


@dataclass(frozen=True)
class Reply:
    """What one imagination led to: the text as written, what it says, the probabilities."""

    text: str
    reading: Reading
    probabilities: tuple[float, ...]
    mass: float | None


class Turn:
    """The stages of one answer. `draws` says whether the prompt asks for a picture."""

    def __init__(
        self, loaded: LoadedModel, question: Question, clock: Clock, *, draws: bool
    ) -> None:
        self.loaded, self.question, self.clock, self.draws = loaded, question, clock, draws
        self.recipe, self.tokenizer = loaded.recipe, loaded.tokenizer
        self.thought = self.written = ""
        self.parts = prompts.prompt_parts(question, self.recipe.prompt, draws=draws)
        self.texts = [self.tokenizer.encode(p) for p in self.parts if isinstance(p, str)]
        inputs = self.recipe.inputs
        self.encodings = inputs.imagine if draws else inputs.answer
        if loaded.codec is None:
            self.encodings = ("vit",)
        self._check_length()
        with clock.stage("preprocess"):
            self.pictures = [self._resize(image) for image in question.images]

    # -- sizes, known before the model runs
    @property
    def prompt_tokens(self) -> int:
        """Tokens of the whole prompt."""
        config = self.loaded.model.config
        count = sum(len(ids) + 2 for ids in self.texts)
        for picture in self.pictures:
            for name, image, stride in (
                ("vae", picture.vae, config.latent_stride),
                ("vit", picture.vit, config.vit.patch),
            ):
                if name in self.encodings:
                    count += image.shape[0] * image.shape[1] // stride**2 + 2
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
            width, height = self.recipe.image_sizes.vae.fit(width, height)
            return height, width
        if not self.pictures:
            raise QuestionError("view_size: needed to draw a view when the question has no images")
        return self.pictures[-1].vae.shape[0], self.pictures[-1].vae.shape[1]

    @property
    def view_tokens(self) -> int:
        height, width = self.view_size
        return height * width // self.loaded.model.config.latent_stride**2

    def step_size(self, k: int) -> int:
        """What the cost of a flow step grows with."""
        flow = self.recipe.flow
        branches = 1 + (flow.text_scale > 1) * (1 + (flow.image_scale > 1))
        return self.view_tokens * k * branches

    def answer_cost(self, entries: int) -> tuple[str, int]:
        """What answering for so many entries is: options scored, by their tokens, or text written,
        whose length nobody knows before."""
        if not self.question.options:
            return "write answer", entries
        names = prompts.option_names(self.question, self.recipe.prompt.answer_style)
        return "score options", entries * sum(len(self.tokenizer.encode(n)) + 2 for n in names)

    def _check_length(self) -> None:
        limit = int(self.loaded.model.config.llm_config["max_position_embeddings"])
        spare = self.recipe.max_answer_tokens + (self.recipe.max_think_tokens if self.draws else 0)
        count = sum(len(ids) for ids in self.texts)
        if count > limit - spare:
            raise QuestionError(
                f"text: the question has {count} tokens with its prompt, "
                f"this model reads at most {limit - spare}"
            )

    def _resize(self, image: np.ndarray) -> Seen:
        vae = self.recipe.image_sizes.vae_picture(image)
        return Seen(vae, self.recipe.image_sizes.vit_picture(vae))

    # -- reading
    def read(self) -> GuidedContexts:
        """The prompt, in order, into the contexts that the mode needs."""
        contexts = GuidedContexts(self.loaded.model, capacity=self.prompt_tokens + 128)
        guided = self.draws and self.recipe.flow.text_scale > 1
        texts = iter(self.texts)
        for part in self.parts:
            if isinstance(part, prompts.Picture):
                self._show(contexts, self.pictures[part.index], self.encodings)
            elif guided:
                contexts.add_text(next(texts))
            else:
                contexts.main.add_text(next(texts))
        return contexts

    def show_given(self, contexts: GuidedContexts, view: np.ndarray) -> None:
        """The true view, introduced by the think sentence, as if it had been drawn."""
        self.thought = prompts.think_sentence(self.question)
        contexts.main.add_text(self.tokenizer.encode(prompts.think_text(self.thought)))
        encodings = self.recipe.inputs.given if self.loaded.codec is not None else ("vit",)
        self._show(contexts, self._resize(view), encodings)

    def _show(self, contexts: GuidedContexts, picture: Seen, encodings: Sequence[str]) -> None:
        codec = self.loaded.codec
        latents = None
        if "vae" in encodings:
            assert codec is not None
            latents = codec.encode(picture.vae.copy())
        contexts.add_picture(
            latents, torch.from_numpy(picture.vit.copy()) if "vit" in encodings else None
        )

    # -- thinking
    def think(self, contexts: GuidedContexts) -> None:
        """The text before the drawing: the caller's, or the model's own if it opens a picture."""
        default = prompts.think_sentence(self.question)
        draft = self.tokenizer.encode(prompts.think_text(default))
        if self.question.think is None:
            ids = self._write(contexts.main, draft, self.recipe.max_think_tokens, "think")
            self.written = self.tokenizer.decode(ids)
            own = _THOUGHT.fullmatch(self.written)
            if own is not None:
                self.thought = own["think"]
                contexts.add_thinking(ids)
                return
        self.thought = default
        contexts.add_thinking(draft)

    def _write(
        self, context: Context, draft: Sequence[int], max_tokens: int, stage: str
    ) -> Sequence[int]:
        """The model's greedy text, inner ids; quick when it begins as the draft does.

        All words of the draft are checked in one pass; writing word by word begins at the first
        that the model would put differently.
        """
        special = self.tokenizer.special
        rows = context.logits_after([[special.bos, *draft]])[0][0]
        likeliest = rows.argmax(-1).tolist()
        agreed = 0
        for mine, theirs in zip(draft, likeliest, strict=False):
            if mine != theirs:
                break
            agreed += 1
        if agreed == len(draft) and likeliest[-1] == special.eos:
            return draft
        written = context.write(
            max_tokens, begin=draft[:agreed], on_word=lambda _: self._keep_writing(stage)
        )
        return written.inner[0]

    def _keep_writing(self, stage: str) -> bool:
        self.clock.tell(stage, 0.15 if stage == "think" else 0.95)
        self.clock.require(0.0)
        return True

    # -- drawing
    def draw(
        self, contexts: GuidedContexts, steps: int, seed: int, k: int, tail_s: float
    ) -> Drawn:
        """Draw k views at once. tail_s: time that must be left afterwards.

        Imagination i starts from the noise of seed + i, whatever k is.
        """
        drawing = Drawing(
            self.loaded,
            self.clock,
            contexts,
            self.view_size,
            self._noise(seed, k),
            tail_s,
            self.step_size(k),
        )
        return drawing.run(steps)

    def _noise(self, seed: int, k: int) -> Tensor:
        """On the CPU and in token layout, as the reference draws it: the same on every device."""
        numbers = self.loaded.model.config.latent_numbers
        return torch.stack(
            [
                torch.randn(
                    self.view_tokens, numbers, generator=torch.Generator().manual_seed(seed + i)
                )
                for i in range(k)
            ]
        )

    def look(self, contexts: GuidedContexts, drawn: Drawn) -> Context:
        """Take the drawn 8-bit pictures in, through VAE and ViT, one context entry each."""
        codec = self.loaded.codec
        assert codec is not None
        context = contexts.main.repeat(len(drawn.pictures))
        context.add_latents(torch.stack([codec.encode(p) for p in drawn.pictures]))
        sizes = self.recipe.image_sizes
        views = [sizes.vit_picture(p.cpu().numpy()) for p in drawn.pictures]
        return context.add_vit([torch.from_numpy(v.copy()) for v in views])

    # -- answering
    def answer(self, context: Context, mode: Mode) -> list[Reply]:
        """One reply per entry of the context, which was reached in this mode."""
        style = self.recipe.prompt.answer_style
        names = prompts.option_names(self.question, style)
        if not names:
            return [self._free(text) for text in self._replies(context)]
        replies = [prompts.answer_text(name, drawn=self.draws) for name in names]
        scores = score_options(context, self.tokenizer, replies, style)
        written: list[str] | None = None
        out = []
        for entry, score in enumerate(scores):
            if score.greedy is not None:
                text = replies[score.greedy]
                reading = read_answer(text, names)
            else:
                written = written if written is not None else self._replies(context)
                text = written[entry]
                reading = read_answer(text, names)
                if reading.outcome is Outcome.ANSWERED:
                    score = self._score_there(context, entry, text, names)
            probabilities: tuple[float, ...] = ()
            if reading.outcome is Outcome.ANSWERED:
                temperature = self.recipe.temperature_of(self.question.task, mode)
                probabilities = normalise(score.log_probabilities, temperature)
            out.append(Reply(text, reading, probabilities, score.mass))
        return out

    def _replies(self, context: Context) -> list[str]:
        """What the model writes by itself, one text per entry."""
        written = context.write(
            self.recipe.max_answer_tokens, on_word=lambda _: self._keep_writing("answer")
        )
        return [self.tokenizer.decode(ids) for ids in written.inner]

    def _score_there(
        self, context: Context, entry: int, reply: str, names: Sequence[str]
    ) -> OptionScores:
        """Scores at the place where this reply has its answer, after all it says before."""
        lead = reply[: reply.rindex(prompts.ANSWER_OPEN)]
        replies = [lead + prompts.answer_text(name, drawn=False) for name in names]
        style = self.recipe.prompt.answer_style
        return score_options(context, self.tokenizer, replies, style)[entry]

    def _free(self, text: str) -> Reply:
        return Reply(text, read_answer(text), (), None)

"""One turn, stage by stage: read the question, think, draw, look at the drawing, answer.

A `Turn` is several questions of one layout on one loaded model, answered in step; a robot asks
one. `Answering` decides the mode and calls the stages in order. Which context a text or picture
enters follows the reference's rules for guided drawing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..inference.context import Context
from ..inference.guided import GuidedContexts
from ..inference.option_log_probabilities import normalise, score_options
from ..question import Mode, Outcome
from ..weights.loading import LoadedModel
from ..wording import prompts
from ..wording.extraction import Reading, has_answered, read_answer
from .clock import Clock
from .drawing import Drawing, Drawn
from .prepared import Prepared, Prompt, SizedPicture
from .seen_ground import SeenGround

#: Pictures with no more numbers than these in all go through the VAE at once: five of 128 x 128.
ENCODED_AT_ONCE = 5 * 128 * 128 * 3
_THOUGHT = re.compile(
    f"{prompts.THINK_OPEN}(?P<think>.*){prompts.THINK_CLOSE}{prompts.IMAGE_START}", re.DOTALL
)


@dataclass(frozen=True)
class Thought:
    """What stands before a picture. written: what the model wrote there itself, if it was asked
    to. fits: False for a thought of the model's own that the other questions of the turn do not
    share: the context has the draft in its place."""

    text: str
    written: str = ""
    fits: bool = True


@dataclass(frozen=True)
class Reply:
    """What one imagined view led to: the text as written, what it says, the probabilities."""

    text: str
    reading: Reading
    probabilities: tuple[float, ...]
    mass: float | None


class Turn:
    """The stages of an answer, for questions of one layout at once."""

    def __init__(
        self,
        loaded: LoadedModel,
        asked: Sequence[Prepared],
        clock: Clock,
        seeds: Sequence[int] = (0,),
    ) -> None:
        """seeds: of words that are chosen by chance, one for each reply."""
        self.seeds = list(seeds)
        self.loaded, self.asked, self.clock = loaded, list(asked), clock
        self.style, self.tokenizer = loaded.style, loaded.tokenizer
        self._pictures: list[list[SizedPicture]] = []
        self._shown: dict[tuple[str, ...], GuidedContexts] = {}
        self._grounds: dict[Prepared, SeenGround] = {}
        self._thought: list[int] = []
        self._read: tuple[str, GuidedContexts] | None = None

    # -- reading
    @property
    def unread(self) -> bool:
        """Whether no picture and no text was read yet."""
        return not self._shown

    def resize(self) -> list[list[SizedPicture]]:
        """The pictures of every question at the model's sizes, made once."""
        if not self._pictures:
            self._pictures = [[one.resized(p) for p in one.question.images] for one in self.asked]
        return self._pictures

    def recall(self, mode: Mode) -> None:
        """What was seen of the views, filled and at the size that this mode needs, made once."""
        for one in self.asked:
            if mode is Mode.RECALL:
                one.shown(mode)
            elif mode is Mode.IMAGINE and one.ground is not None:
                self._grounds[one] = one.ground

    def read(self, mode: Mode) -> GuidedContexts:
        """The prompt, in order, into the contexts that an answer in this mode needs. The latest
        prompt stays read, for the next mode that needs it."""
        kind = self.asked[0].prompt(mode).kind
        if self._read is None or self._read[0] != kind:
            self._read = None  # whose slots the next may take
            self._read = kind, self._read_prompt(mode)
        return self._read[1].fork()

    def _read_prompt(self, mode: Mode) -> GuidedContexts:
        first = self.asked[0].prompt(mode)
        every = [one.prompt(mode).parts for one in self.asked]
        texts = [place for place, part in enumerate(every[0]) if isinstance(part, list)]
        contexts = self._begin(first, every[0][: texts[0]], self.asked[0].tokens(mode))
        guided = first.kind == "draw" and self.style.flow.text_scale > 1
        for place, part in enumerate(every[0][texts[0] :], texts[0]):
            if isinstance(part, prompts.Picture):
                own = [pictures[part.index] for pictures in self.resize()]
                self._show(contexts, [own], first.encodings)
                continue
            ids = torch.tensor([parts[place] for parts in every])
            if guided:
                contexts.add_text(ids)
            else:
                contexts.main.add_text(ids)
        return contexts

    def _begin(
        self, prompt: Prompt, pictures: Sequence[list[int] | prompts.Picture], tokens: int
    ) -> GuidedContexts:
        """The pictures that open a prompt, looked at once for all prompts that begin so."""
        beginning = prompt.encodings if pictures else ()
        if beginning not in self._shown:
            contexts = GuidedContexts(
                self.loaded.model, capacity=tokens + 128, batch=len(self.asked)
            )
            own = []
            for part in pictures:
                assert isinstance(part, prompts.Picture)
                own.append([each[part.index] for each in self.resize()])
            self._show(contexts, own, prompt.encodings)
            self._shown[beginning] = contexts
        return self._shown[beginning].fork()

    def show_view(self, contexts: GuidedContexts, mode: Mode) -> list[Thought]:
        """The true or the recalled views, introduced by the think sentence, as if they had been
        drawn."""
        contexts.main.add_text(self.asked[0].draft)
        seen = [one.resized(one.shown(mode)) for one in self.asked]
        self._show(contexts, [seen], self.asked[0].given_encodings)
        return [Thought(one.think) for one in self.asked]

    def _show(
        self,
        contexts: GuidedContexts,
        pictures: Sequence[Sequence[SizedPicture]],
        encodings: Sequence[str],
    ) -> None:
        """pictures: in order, each as every question has it."""
        latents: Sequence[Tensor | None] = [None] * len(pictures)
        vit: Sequence[np.ndarray | None] = [None] * len(pictures)
        if "vae" in encodings:
            latents = self._encode([np.stack([p.vae for p in each]) for each in pictures])
        if "vit" in encodings:
            vit = [np.stack([p.vit for p in each]) for each in pictures]
        contexts.add_pictures(list(zip(latents, vit, strict=True)))

    def _encode(self, stacks: Sequence[np.ndarray]) -> list[Tensor]:
        """Their latents; of small pictures of one size at once."""
        codec = self.loaded.codec
        assert codec is not None
        if len({s.shape for s in stacks}) == 1 and sum(s.size for s in stacks) <= ENCODED_AT_ONCE:
            return list(codec.encode(np.concatenate(stacks)).split(len(stacks[0])))
        return [codec.encode(stack) for stack in stacks]

    # -- thinking
    def think(self, contexts: GuidedContexts) -> list[Thought]:
        """The text before the drawing: the caller's, or the model's own if it opens a picture."""
        draft = self.asked[0].draft
        thoughts = [Thought(one.think) for one in self.asked]
        own = [entry for entry, one in enumerate(self.asked) if one.question.think is None]
        if own:
            written = self._write(contexts.main, draft, own)
            alone = len(self.asked) == 1
            for entry in own:
                text = self.tokenizer.decode(written[entry])
                found = _THOUGHT.fullmatch(text)
                if found is None:
                    thoughts[entry] = Thought(self.asked[entry].think, text)
                else:
                    fits = alone or written[entry] == draft
                    thoughts[entry] = Thought(found["think"], text, fits)
                    draft = written[entry] if alone else draft
        contexts.add_thinking(draft)
        self._thought = draft
        return thoughts

    def _write(
        self, context: Context, draft: list[int], entries: Sequence[int]
    ) -> list[list[int]]:
        """What these entries think by themselves, greedily, inner ids; quick when it begins as
        the draft does.

        All words of the draft are checked in one pass; writing word by word begins at the first
        that the model would put differently.
        """
        special = self.tokenizer.special
        pick = self._pick()
        if pick is not None:
            written = context.write(
                self.style.max_think_tokens,
                on_word=lambda _: self._keep_writing("think"),
                pick=pick,
            )
            return [list(ids) for ids in written.inner]
        likeliest = context.logits_after([[special.bos, *draft]])[0].argmax(-1).cpu()
        same = likeliest == torch.tensor([*draft, special.eos])
        agreed = same.cumprod(-1).sum(-1).tolist()
        shared = min(agreed[entry] for entry in entries)
        if shared > len(draft):
            return [draft] * len(self.asked)
        written = context.write(
            self.style.max_think_tokens,
            begin=draft[:shared],
            on_word=lambda _: self._keep_writing("think"),
        )
        return [list(ids) for ids in written.inner]

    def _keep_writing(self, stage: str) -> bool:
        self.clock.tell(stage, 0.15 if stage == "think" else 0.95)
        self.clock.require(0.0)
        return True

    # -- drawing
    def step_size(self, count: int) -> int:
        """What the cost of a flow step grows with, for this many pictures."""
        flow = self.style.flow
        branches = 1 + (flow.text_scale > 1) * (1 + (flow.image_scale > 1))
        return self.asked[0].view_tokens * count * branches

    def draw(
        self, contexts: GuidedContexts, steps: int, seeds: Sequence[int], tail_s: float
    ) -> Drawn:
        """Draw one view from the noise of each seed: one for each question, or any number for a
        single one. tail_s: time that must be left afterwards."""
        drawing = Drawing(
            self.loaded,
            self.clock,
            contexts,
            self.asked[0].view_size,
            self._noise(seeds),
            tail_s,
            self.step_size(len(seeds)),
            list(self._grounds.values()),
        )
        return drawing.run(steps)

    def _noise(self, seeds: Sequence[int]) -> Tensor:
        """On the CPU and in token layout, as the reference draws it: the same on every device."""
        size = self.asked[0].view_tokens, self.loaded.model.config.latent_numbers
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(size, generator=g) for g in generators])

    def look(self, contexts: GuidedContexts, drawn: Drawn) -> Context:
        """Take the drawn 8-bit pictures in, through VAE and ViT, one context entry each."""
        codec, main = self.loaded.codec, contexts.main
        assert codec is not None
        if self.asked[0].rests_on_view:
            # what has looked at the input pictures stays behind
            main = self._read_prompt(Mode.GIVEN).main
            main.add_text(self._thought)
        context = main.repeat(len(drawn.pictures)) if main.batch == 1 else main.fork()
        parts = drawn.pictures.split(main.batch)
        latents = torch.cat([codec.encode(part) for part in parts])
        views = [self.style.image_sizes.vit_picture(picture) for picture in drawn.arrays]
        return context.add_pictures([(latents, np.stack(views))])

    # -- answering
    def answer(self, context: Context, mode: Mode) -> list[Reply]:
        """One reply per entry of the context, which was reached in this mode: one entry for each
        question, or several for a single one."""
        answer_style = self.style.prompt.answer_style
        asked = self.asked * (context.batch // len(self.asked))
        names = [prompts.option_names(one.question, answer_style) for one in asked]
        if not names[0]:
            return [Reply(t, read_answer(t), (), None) for t in self._replies(context)]
        drawn = mode is not Mode.ANSWER
        replies = [[prompts.answer_text(name, drawn=drawn) for name in own] for own in names]
        scores = score_options(context, self.tokenizer, replies, answer_style)
        # a reply by chance is written, whatever is likeliest
        chance = self.style.text_temperature > 0
        written = chance or any(score.greedy is None for score in scores)
        texts = self._replies(context) if written else [""] * context.batch
        moved: dict[int, list[str]] = {}
        readings = []
        for entry, (score, own) in enumerate(zip(scores, names, strict=True)):
            if score.greedy is not None and not chance:
                texts[entry] = replies[entry][score.greedy]
            readings.append(read_answer(texts[entry], own))
            if texts[entry] not in replies[entry] and readings[entry].outcome is Outcome.ANSWERED:
                # The options are weighed where this reply has its answer, after all it says
                # before.
                lead = texts[entry][: readings[entry].begin]
                moved[entry] = [lead + prompts.answer_text(name, drawn=False) for name in own]
        if moved:
            there = [moved.get(entry, own) for entry, own in enumerate(replies)]
            again = score_options(context, self.tokenizer, there, answer_style)
            scores = [again[k] if k in moved else score for k, score in enumerate(scores)]
        out = []
        for one, text, reading, score in zip(asked, texts, readings, scores, strict=True):
            probabilities: tuple[float, ...] = ()
            if reading.outcome is Outcome.ANSWERED:
                question = one.question
                temperature = self.style.temperature_of(question.task, mode, question.share_seen)
                probabilities = normalise(score.log_probabilities, temperature)
            out.append(Reply(text, reading, probabilities, score.mass))
        return out

    def _replies(self, context: Context) -> list[str]:
        """What the model writes by itself, one text per entry, up to its first closed answer."""

        def answered(ids: Sequence[int]) -> bool:
            return ">" in self.tokenizer.decode(ids[-1:]) and has_answered(
                self.tokenizer.decode(ids)
            )

        written = context.write(
            self.style.max_answer_tokens,
            on_word=lambda _: self._keep_writing("answer"),
            until=answered,
            pick=self._pick(),
        )
        return [self.tokenizer.decode(ids) for ids in written.inner]

    def _pick(self) -> Callable[[Tensor], Tensor] | None:
        """How a word is chosen: by chance where the asking style has a temperature."""
        temperature = self.style.text_temperature
        if not temperature:
            return None
        chances = [torch.Generator().manual_seed(seed) for seed in self.seeds]

        def drawn(logits: Tensor) -> Tensor:
            shares = (logits.float().cpu() / temperature).softmax(-1)
            pairs = zip(shares, chances, strict=False)
            picked = [torch.multinomial(share, 1, generator=chance) for share, chance in pairs]
            return torch.cat(picked).to(logits.device)

        return drawn

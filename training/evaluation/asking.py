"""Many questions asked at once, with the same result as `Imaginer.ask` one by one.

Examples whose prompts have the same lengths share a batch; the contexts of their modes share the
pictures read before them. Whatever does not fit a batch (a thought of the model's own) goes
through `Imaginer` itself, so there is no second opinion on what an answer is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ipt_model import prompts
from ipt_model.context import Context, GuidedContexts
from ipt_model.extraction import read_answer
from ipt_model.flow import FlowSettings, draw
from ipt_model.imaginer import Imaginer
from ipt_model.loading import LoadedModel
from ipt_model.option_scores import OptionScores, normalise, score_each
from ipt_model.question import Mode, Outcome, Question
from ipt_training.example import Example

_THOUGHT = re.compile(
    f"{prompts.THINK_OPEN}(?P<think>.*){prompts.THINK_CLOSE}{prompts.IMAGE_START}", re.DOTALL
)
MODES = (Mode.ANSWER, Mode.IMAGINE, Mode.GIVEN)


@dataclass(frozen=True)
class Reply:
    """One answer, as evaluation needs it.

    log_probabilities: of the options, not yet normalised; empty when unparsable. index: the option
    with the largest. mass: see `question.Answer.option_mass`. imagined: H x W x 3 uint8, mode
    IMAGINE alone.
    """

    outcome: Outcome
    index: int | None
    log_probabilities: tuple[float, ...]
    mass: float | None
    text: str
    imagined: np.ndarray | None = None

    def probabilities(self, temperature: float = 1.0) -> tuple[float, ...]:
        """Over the options, summing to 1; empty when unparsable."""
        if not self.log_probabilities:
            return ()
        return normalise(self.log_probabilities, temperature)


@dataclass
class _Entry:
    """One example on its way through: its number, question, and tokenised prompts."""

    number: int
    question: Question
    view: np.ndarray
    vae: list[np.ndarray]
    vit: list[np.ndarray]
    prompts: dict[bool, tuple[str | prompts.Picture, ...]] = field(default_factory=dict)
    ids: dict[bool, list[list[int]]] = field(default_factory=dict)


class BatchAsker:
    """Asks one loaded model. batch: examples at once. flow_steps: None is the checkpoint's own.

    seed: example number n is drawn from the noise of seed + n.
    """

    def __init__(
        self, loaded: LoadedModel, batch: int = 32, flow_steps: int | None = None, seed: int = 0
    ) -> None:
        self.loaded, self.batch, self.seed = loaded, batch, seed
        self.recipe, self.tokenizer = loaded.recipe, loaded.tokenizer
        self.steps = flow_steps or loaded.recipe.flow.points - 1
        self.alone = Imaginer(loaded)
        self.asked_alone = 0

    def ask(
        self, examples: Sequence[Example], modes: Iterable[Mode] = MODES, first: int = 0
    ) -> Iterator[tuple[int, dict[Mode, Reply]]]:
        """Every example in every mode, in an order of layout; (its place in `examples`,
        replies).

        first: the number of examples[0], for the noise.
        """
        modes = tuple(modes)
        groups: dict[object, list[tuple[int, _Entry]]] = {}
        for place, example in enumerate(examples):
            entry = self._entry(example, first + place, modes)
            groups.setdefault(self._layout(entry), []).append((place, entry))
        for members in groups.values():
            for start in range(0, len(members), self.batch):
                some = members[start : start + self.batch]
                with torch.inference_mode():
                    replies = self._ask([entry for _, entry in some], modes)
                for (place, _), own in zip(some, replies, strict=True):
                    yield place, own

    # -- what fits together
    def _entry(self, example: Example, number: int, modes: Sequence[Mode]) -> _Entry:
        question, sizes = example.question, self.recipe.image_sizes
        vae = [sizes.vae_picture(image) for image in question.images]
        entry = _Entry(
            number, question, example.imagination, vae, [sizes.vit_picture(v) for v in vae]
        )
        for draws in {mode is not Mode.ANSWER for mode in modes}:
            parts = prompts.prompt_parts(question, self.recipe.prompt, draws=draws)
            entry.prompts[draws] = parts
            entry.ids[draws] = [self.tokenizer.encode(p) for p in parts if isinstance(p, str)]
        return entry

    def _layout(self, entry: _Entry) -> object:
        texts = [(draws, [len(i) for i in ids]) for draws, ids in sorted(entry.ids.items())]
        sizes = [(v.shape, w.shape) for v, w in zip(entry.vae, entry.vit, strict=True)]
        draft = prompts.think_sentence(entry.question)
        return str((texts, sizes, draft, self._view_size(entry), entry.view.shape)) + str(
            len(entry.question.options)
        )

    def _view_size(self, entry: _Entry) -> tuple[int, int]:
        if entry.question.view_size is not None:
            height, width = entry.question.view_size
            width, height = self.recipe.image_sizes.vae.fit(width, height)
            return height, width
        return entry.vae[-1].shape[0], entry.vae[-1].shape[1]

    # -- one batch
    def _ask(self, entries: list[_Entry], modes: Sequence[Mode]) -> list[dict[Mode, Reply]]:
        replies: list[dict[Mode, Reply]] = [{} for _ in entries]
        shown: dict[tuple[str, ...], GuidedContexts] = {}
        thinking: GuidedContexts | None = None
        for mode in modes:
            draws = mode is not Mode.ANSWER
            if draws:
                if thinking is None:
                    thinking = self._read(entries, True, shown)
                contexts = _fork(thinking)
            else:
                contexts = self._read(entries, False, shown)
            if mode is Mode.IMAGINE:
                found = self._imagine(entries, contexts)
            else:
                context = contexts.main
                if mode is Mode.GIVEN:
                    self._show_given(entries, contexts)
                found = self._answer(entries, context, drawn=draws)
            for own, reply in zip(replies, found, strict=True):
                own[mode] = reply
        return replies

    def _read(
        self,
        entries: list[_Entry],
        draws: bool,
        shown: dict[tuple[str, ...], GuidedContexts],
    ) -> GuidedContexts:
        """The prompt into contexts. Pictures that come first are read once for all prompts that
        show them alike."""
        inputs = self.recipe.inputs
        encodings = inputs.imagine if draws else inputs.answer
        if self.loaded.codec is None:
            encodings = ("vit",)
        parts = entries[0].prompts[draws]
        leading = next((i for i, p in enumerate(parts) if isinstance(p, str)), len(parts))
        if encodings not in shown:
            contexts = GuidedContexts(self.loaded.model, batch=len(entries))
            for part in parts[:leading]:
                assert isinstance(part, prompts.Picture)
                self._show(contexts, entries, part.index, encodings)
            shown[encodings] = contexts
        contexts = _fork(shown[encodings])
        text = 0
        for part in parts[leading:]:
            if isinstance(part, prompts.Picture):
                self._show(contexts, entries, part.index, encodings)
                continue
            ids = torch.tensor([entry.ids[draws][text] for entry in entries])
            text += 1
            if draws and self.recipe.flow.text_scale > 1:
                contexts.add_text(ids)
            else:
                contexts.main.add_text(ids)
        return contexts

    def _show(
        self,
        contexts: GuidedContexts,
        entries: list[_Entry],
        index: int,
        encodings: Sequence[str],
    ) -> None:
        vae = np.stack([entry.vae[index] for entry in entries])
        vit = np.stack([entry.vit[index] for entry in entries])
        self._add(contexts, vae, vit, encodings)

    def _add(
        self,
        contexts: GuidedContexts,
        vae: np.ndarray,
        vit: np.ndarray,
        encodings: Sequence[str],
    ) -> None:
        latents = None
        if "vae" in encodings:
            assert self.loaded.codec is not None
            latents = self.loaded.codec.encode(torch.from_numpy(vae))
        contexts.add_picture(latents, torch.from_numpy(vit) if "vit" in encodings else None)

    def _show_given(self, entries: list[_Entry], contexts: GuidedContexts) -> None:
        thought = prompts.think_text(prompts.think_sentence(entries[0].question))
        contexts.main.add_text(self.tokenizer.encode(thought))
        sizes = self.recipe.image_sizes
        vae = [sizes.vae_picture(entry.view) for entry in entries]
        vit = [sizes.vit_picture(picture) for picture in vae]
        encodings = self.recipe.inputs.given if self.loaded.codec is not None else ("vit",)
        self._add(contexts, np.stack(vae), np.stack(vit), encodings)

    # -- imagining
    def _imagine(self, entries: list[_Entry], contexts: GuidedContexts) -> list[Reply]:
        codec = self.loaded.codec
        assert codec is not None
        draft_text = prompts.think_text(prompts.think_sentence(entries[0].question))
        draft = self.tokenizer.encode(draft_text)
        own = self._own_thoughts(entries, contexts.main, draft)
        contexts.add_thinking(draft)
        height, width = self._view_size(entries[0])
        flow = self.recipe.flow
        names = FlowSettings.__dataclass_fields__.keys() & vars(flow).keys()
        settings = FlowSettings(
            **{**{n: getattr(flow, n) for n in names}, "points": self.steps + 1}
        )
        latents = draw(
            self.loaded.model,
            contexts.main,
            contexts.cfg_text,
            contexts.cfg_img,
            height,
            width,
            settings,
            noise=self._noise(entries, height * width // codec.stride**2),
            count=len(entries),
        )
        pictures = codec.picture(latents, height, width)
        context = contexts.main
        context.add_latents(codec.encode(pictures))
        drawn = pictures.cpu().numpy()
        sizes = self.recipe.image_sizes
        context.add_vit(torch.from_numpy(np.stack([sizes.vit_picture(p) for p in drawn])))
        replies = self._answer(entries, context, drawn=True)
        out = []
        for k, (reply, picture) in enumerate(zip(replies, drawn, strict=True)):
            written, different = own.get(k, (draft_text, False))
            if different:
                out.append(self._ask_alone(entries[k]))
            else:
                out.append(replace(reply, imagined=picture, text=written + reply.text))
        return out

    def _own_thoughts(
        self, entries: list[_Entry], main: Context, draft: list[int]
    ) -> dict[int, tuple[str, bool]]:
        """For entries that would not write the draft: what they write, and whether it opens a
        picture, so that it has to stand in place of the draft."""
        special = self.tokenizer.special
        rows = main.logits_after([[special.bos, *draft]])[0]
        agreed = (rows.argmax(-1).cpu() == torch.tensor([*draft, special.eos])).all(-1).tolist()
        undecided = [
            k for k, e in enumerate(entries) if not agreed[k] and e.question.think is None
        ]
        if not undecided:
            return {}
        written = main.write(self.recipe.max_think_tokens)
        texts = {k: self.tokenizer.decode(written.inner[k]) for k in undecided}
        return {k: (text, _THOUGHT.fullmatch(text) is not None) for k, text in texts.items()}

    def _noise(self, entries: list[_Entry], tokens: int) -> Tensor:
        numbers = self.loaded.model.config.latent_numbers
        generators = [torch.Generator().manual_seed(self.seed + e.number) for e in entries]
        return torch.stack([torch.randn(tokens, numbers, generator=g) for g in generators])

    def _ask_alone(self, entry: _Entry) -> Reply:
        self.asked_alone += 1
        answer = self.alone.ask(
            entry.question, Mode.IMAGINE, seed=self.seed + entry.number, flow_steps=self.steps
        )
        logs = tuple(float(np.log(max(p, 1e-30))) for p in answer.option_probabilities)
        temperature = self.recipe.temperature_of(entry.question.task, Mode.IMAGINE)
        return Reply(
            answer.outcome,
            int(np.argmax(logs)) if logs else None,
            tuple(v * temperature for v in logs),
            answer.option_mass,
            answer.reply,
            answer.imagined[0] if answer.imagined else None,
        )

    # -- answering
    def _answer(self, entries: list[_Entry], context: Context, *, drawn: bool) -> list[Reply]:
        style = self.recipe.prompt.answer_style
        names = [prompts.option_names(e.question, style) for e in entries]
        replies = [[prompts.answer_text(n, drawn=drawn) for n in own] for own in names]
        scores = score_each(context, self.tokenizer, replies, style)
        texts = [
            "" if score.greedy is None else own[score.greedy]
            for score, own in zip(scores, replies, strict=True)
        ]
        if any(score.greedy is None for score in scores):
            written = context.write(self.recipe.max_answer_tokens)
            for k, score in enumerate(scores):
                if score.greedy is None:
                    texts[k] = self.tokenizer.decode(written.inner[k])
            scores = self._score_there(context, texts, names, replies, scores)
        out = []
        for text, own, score in zip(texts, names, scores, strict=True):
            reading = read_answer(text, own)
            if reading.outcome is Outcome.ANSWERED:
                logs = score.log_probabilities
                out.append(Reply(reading.outcome, int(np.argmax(logs)), logs, score.mass, text))
            else:
                out.append(Reply(reading.outcome, None, (), score.mass, text))
        return out

    def _score_there(
        self,
        context: Context,
        texts: Sequence[str],
        names: Sequence[Sequence[str]],
        replies: Sequence[Sequence[str]],
        scores: Sequence[OptionScores],
    ) -> list[OptionScores]:
        """Scores at the place where a written reply has its answer, after all it says before."""
        moved = {}
        for k, score in enumerate(scores):
            reading = read_answer(texts[k], tuple(names[k]))
            if score.greedy is None and reading.outcome is Outcome.ANSWERED:
                lead = texts[k][: texts[k].rindex(prompts.ANSWER_OPEN)]
                moved[k] = [lead + prompts.answer_text(n, drawn=False) for n in names[k]]
        if not moved:
            return list(scores)
        style = self.recipe.prompt.answer_style
        there = score_each(
            context, self.tokenizer, [moved.get(k, own) for k, own in enumerate(replies)], style
        )
        return [there[k] if k in moved else score for k, score in enumerate(scores)]


def _fork(contexts: GuidedContexts) -> GuidedContexts:
    """Contexts that go on from here without changing these."""
    twin = object.__new__(GuidedContexts)
    twin.main = contexts.main.fork()
    twin.cfg_text = contexts.cfg_text.fork()
    twin.cfg_img = contexts.cfg_img.fork()
    return twin


def by_place(
    found: Iterable[tuple[int, Mapping[Mode, Reply]]], count: int
) -> list[Mapping[Mode, Reply]]:
    """Replies in the order of their examples."""
    out: list[Mapping[Mode, Reply]] = [{}] * count
    for place, own in found:
        out[place] = own
    return out

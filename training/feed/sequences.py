"""One showing of an example as the segments that `ipt_model.network.packing.pack` lays out.

Wording and order come with the `Sample`; here words become ids, pictures become ViT pixels and
latents, and chance decides noise, flow times and what is left out. All chance of a showing comes
from its number, so the same showing is the same on any process, at any time, after any restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from ipt_model.network.config import BagelConfig
from ipt_model.network.packing import (
    DroppedPicture,
    LatentSegment,
    Segment,
    TextSegment,
    VitSegment,
)
from ipt_model.question import Question, Task
from ipt_model.weights.asking_style import AskingStyle
from ipt_model.wording.prompts import Picture, answer_text
from ipt_model.wording.tokenizer import Tokenizer
from ipt_training.datasets.supervision import Sample
from ipt_training.feed.auxiliary import auxiliary_targets, look
from ipt_training.feed.own_views import OwnView
from ipt_training.recipe.settings import TrainingRecipe

#: A map's answer stays the same however the map is turned or mirrored.
TURNABLE = (Task.COUNTING, Task.CLEARANCE)


@dataclass(frozen=True)
class Showing:
    """A sample and which showing of the run it is. latents: of its pictures, inputs then the drawn
    one, [channels, h, w] each; None where they are not needed. own: what the model itself drew, to
    be answered from in place of the true view."""

    number: int
    sample: Sample
    latents: tuple[Tensor | None, ...]
    own: OwnView | None = None


@dataclass(frozen=True)
class TrainingSequence:
    """Segments with their size in tokens of either expert.

    read_until: tokens of the prompt; the last of them is what the auxiliary head reads. targets:
    what it should say, NaN where unknown. showing: the number of what it was made from, None for
    exercises and fillers.
    """

    segments: tuple[Segment, ...]
    und: int
    gen: int
    read_until: int
    targets: np.ndarray
    showing: int | None = None


def pictures_of(sample: Sample) -> tuple[np.ndarray, ...]:
    """All pictures of a sample, inputs first."""
    return (*sample.inputs, *(part for part in sample.target if not isinstance(part, str)))


def needs_latents(sample: Sample) -> tuple[bool, ...]:
    """Which of `pictures_of` enter as latents."""
    drawn = len(pictures_of(sample)) - len(sample.inputs)
    return (sample.vae_inputs,) * len(sample.inputs) + (True,) * drawn


class SequenceMaker:
    """Turns showings into training sequences for one model."""

    def __init__(
        self,
        settings: TrainingRecipe,
        config: BagelConfig,
        style: AskingStyle,
        tokenizer: Tokenizer,
    ) -> None:
        self.settings, self.config, self.style = settings, config, style
        self.tokenizer = tokenizer
        # a configuration is slow to ask, and a showing asks dozens of times
        self._vit_patch, self._latent_patch = config.vit.patch, config.latent_patch_size

    def sequences(self, showing: Showing) -> list[TrainingSequence]:
        """Input pictures, prompt, thought, noised copies, clean copies, answer: the published
        order. Where the answer is to rest on the drawn picture alone these are two sequences: up
        to the noised copies, and the words of the prompt with the clean copies and the answer.
        """
        chance = np.random.default_rng([self.settings.seed, showing.number, 0x5E])
        prompt, (drawing, after) = self._prompt(showing, chance), self._target(showing, chance)
        targets = auxiliary_targets(showing.sample.example)
        if not self._rests_on_view(showing):
            return [self._sequence(prompt, [*drawing, *after], targets, showing.number)]
        reading = self._reading(showing, [*drawing, *after])
        if not showing.sample.flow_loss:
            return [reading]
        return [self._sequence(prompt, drawing, targets, showing.number), reading]

    def reading_exercise(self, showing: Showing, number: int) -> TrainingSequence:
        """An answer read from one view and the question's words: a quarter of a showing's
        tokens."""
        chance = np.random.default_rng([self.settings.seed, showing.number, 0x4EAD, number])
        drawing, after = self._target(showing, chance)
        return self._reading(showing, self._turned(showing, [*drawing, *after], number))

    def _turned(self, showing: Showing, target: list[Segment], number: int) -> list[Segment]:
        """A share of the maps turned by quarters or mirrored, so that no map is known by heart.
        Their latents would have to be encoded anew: they are read through the ViT alone."""
        share, example = self.settings.loss.turned, showing.sample.example
        views = any(isinstance(segment, VitSegment) for segment in target)
        if not share or not views or example is None or example.question.task not in TURNABLE:
            return target
        chance = np.random.default_rng([self.settings.seed, showing.number, 0x7012, number])
        quarters, mirrored = divmod(int(chance.integers(1, 8)), 2)
        if chance.random() >= share:
            return target
        turned: list[Segment] = []
        for segment in target:
            if isinstance(segment, VitSegment):
                pixels = np.rot90(np.asarray(segment.pixels), quarters)
                pixels = pixels[:, ::-1] if mirrored else pixels
                segment = VitSegment(np.ascontiguousarray(pixels))
            elif isinstance(segment, LatentSegment) and segment.noise is None:
                segment = DroppedPicture()
            turned.append(segment)
        return turned

    def _reading(self, showing: Showing, target: Sequence[Segment]) -> TrainingSequence:
        """What rests on the view: the prompt's words, the thought, the clean copies, the
        answer."""
        words = [part for part in showing.sample.prompt if isinstance(part, str)]
        asked: list[Segment] = [TextSegment(self.tokenizer.encode(text)) for text in words]
        kept = [s for s in target if not (isinstance(s, LatentSegment) and s.noise is not None)]
        assert isinstance(kept[0], TextSegment)
        read = [replace(kept[0], loss=False), *kept[1:]]
        return self._sequence(asked, read, auxiliary_targets(None), showing.number)

    def _sequence(
        self,
        prompt: Sequence[Segment],
        target: Sequence[Segment],
        targets: np.ndarray,
        showing: int,
    ) -> TrainingSequence:
        sizes = [self._size(segment) for segment in (*prompt, *target)]
        return TrainingSequence(
            (*prompt, *target),
            sum(u for u, _ in sizes),
            sum(g for _, g in sizes),
            sum(u + g for u, g in sizes[: len(prompt)]),
            targets,
            showing,
        )

    def letter_exercise(self, number: int, words: Sequence[str]) -> TrainingSequence:
        """A text alone that says the answer and asks for its letter: the look-up that answering by
        letter needs, at almost no cost."""
        chance = np.random.default_rng([self.settings.seed, number, 0x1E])
        count = int(chance.integers(2, min(4, len(words)) + 1))
        options = tuple(str(w) for w in chance.permutation(list(words))[:count])
        right = int(chance.integers(count))
        lines = "".join(f"\n({chr(65 + i)}) {option}" for i, option in enumerate(options))
        asked = Question(Task.FREE, (), f"The answer is {options[right]}.{lines}")
        prompt = TextSegment(self.tokenizer.encode(asked.text))
        reply = answer_text(chr(65 + right), drawn=False)
        target = TextSegment(self.tokenizer.encode(reply), loss=True)
        read = len(prompt.ids) + 2
        return TrainingSequence(
            (prompt, target), read + len(target.ids) + 2, 0, read, auxiliary_targets(None)
        )

    def look_exercise(self, showing: Showing, number: int) -> TrainingSequence | None:
        """A look at one picture of a showing, through the ViT alone: a sixth of a showing's
        tokens."""
        chance = np.random.default_rng([self.settings.seed, showing.number, 0x100C, number])
        seen = look(showing.sample.example, chance)
        if seen is None:
            return None
        segments = (self._vit(seen.picture), TextSegment(self.tokenizer.encode(seen.text)))
        und = sum(self._size(s)[0] for s in segments)
        return TrainingSequence(segments, und, 0, und, seen.targets, showing.number)

    def filler(self) -> TrainingSequence:
        """The smallest sequence that touches every weight; its losses are not to be counted.

        Processes that share gradients must all compute with the same weights, whatever samples
        each of them got.
        """
        patch, latent = self.config.vit.patch, self.config.latent_patch_size
        channels = self.config.vae.latent_channels
        noise = torch.zeros(1, self.config.latent_numbers)
        segments: tuple[Segment, ...] = (
            VitSegment(np.zeros((patch, patch, 3), np.uint8)),
            TextSegment([self.tokenizer.special.bos], loss=True),
            LatentSegment(torch.zeros(channels, latent, latent), noise, 0.5),
        )
        sizes = [self._size(s) for s in segments]
        return TrainingSequence(
            segments,
            sum(u for u, _ in sizes),
            sum(g for _, g in sizes),
            1,
            auxiliary_targets(None),
        )

    # -- parts
    def _rests_on_view(self, showing: Showing) -> bool:
        """Whether this showing's answer must come from the drawn picture: the input pictures are
        kept from it, and so is all that has looked at them."""
        share = self.settings.dropout.inputs
        if not share or not any(not isinstance(part, str) for part in showing.sample.target):
            return False
        chance = np.random.default_rng([self.settings.seed, showing.number, 0x41D])
        return bool(chance.random() < share)

    def _prompt(self, showing: Showing, chance: np.random.Generator) -> list[Segment]:
        sample = showing.sample
        segments: list[Segment] = []
        for part in sample.prompt:
            if isinstance(part, Picture):
                latents = showing.latents[part.index]
                if latents is not None:
                    segments.append(LatentSegment(latents))
                segments.append(self._vit(sample.inputs[part.index]))
            elif chance.random() >= self.settings.dropout.text:
                segments.append(TextSegment(self.tokenizer.encode(part)))
        return segments

    def _target(
        self, showing: Showing, chance: np.random.Generator
    ) -> tuple[list[Segment], list[Segment]]:
        """What is up to the noised copies of the picture, and what is from its clean ones on."""
        before: list[Segment] = []
        after: list[Segment] = []
        for part in showing.sample.target:
            if isinstance(part, str):
                text = TextSegment(self.tokenizer.encode(part), loss=True)
                (after or before).append(text)
            else:
                before += self._noised(showing, chance)
                after += self._clean(showing, part, chance)
        return before, after

    def _noised(self, showing: Showing, chance: np.random.Generator) -> Iterator[Segment]:
        """Copies with a flow loss. They see the context and themselves, never each other."""
        latents = showing.latents[-1]
        assert latents is not None
        tokens = latents[0].numel() // self._latent_patch**2
        shape = (tokens, self.config.latent_numbers)
        draws = self.settings.flow.draws if showing.sample.flow_loss else 0
        for k in range(draws):
            noise = torch.from_numpy(chance.standard_normal(shape, dtype=np.float32))
            yield LatentSegment(latents, noise, self._time((k + chance.random()) / draws))

    def _clean(
        self, showing: Showing, picture: np.ndarray, chance: np.random.Generator
    ) -> Iterator[Segment]:
        """The clean latents and the ViT view that the answer may look at."""
        latents = showing.latents[-1]
        assert latents is not None
        dropout = self.settings.dropout
        keep_vae, keep_vit = chance.random(2) >= (dropout.vae, dropout.vit)
        if showing.own is not None:
            latents, picture = showing.own.latents, showing.own.picture
        yield LatentSegment(latents) if keep_vae else DroppedPicture()
        yield self._vit(picture) if keep_vit else DroppedPicture()

    def _time(self, share: float) -> float:
        """The flow time below which a share of the reference's times lies: theirs are the logistic
        function of a normal number, shifted. The draws of a showing take one share each of as many
        equal parts, so a picture is practised at all times and not by chance at one."""
        t = 1 / (1 + math.exp(-NormalDist().inv_cdf(min(max(share, 1e-9), 1 - 1e-9))))
        shift = self.settings.flow.shift
        return shift * t / (1 + (shift - 1) * t)

    def _vit(self, picture: np.ndarray) -> VitSegment:
        sizes = self.style.image_sizes
        return VitSegment(sizes.vit_picture(sizes.vae_picture(picture)))

    def _size(self, segment: Segment) -> tuple[int, int]:
        """Tokens for the reading and for the drawing expert."""
        if isinstance(segment, TextSegment):
            return len(segment.ids) + 2, 0
        if isinstance(segment, VitSegment):
            height, width = segment.pixels.shape[:2]
            return height * width // self._vit_patch**2 + 2, 0
        if isinstance(segment, LatentSegment):
            return 2, segment.latents[0].numel() // self._latent_patch**2
        return 0, 0

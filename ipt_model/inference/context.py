"""What the model has read so far, and how it goes on: texts, pictures, and written words.

A `Context` grows by whole segments and never reads one twice. Forking is free: forks share stored
keys and values until one of them would overwrite what another sees. It knows token ids, pixels
and latents, not prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..network import attention
from ..network.embeddings import grid_ids
from ..network.latents import to_tokens
from .cache import KeyValueStore

if TYPE_CHECKING:
    from ..network.model import BagelModel

Pixels = Tensor | np.ndarray
#: Segments of pictures share a pass as long as they have no more tokens than this: a pass through
#: the layers has a price of its own, and of many tokens the mask has one too.
TOGETHER = 512
#: So many numbers of pictures go through the ViT at once: five of 128 x 128.
LOOKED_AT_ONCE = 5 * 128 * 128 * 3
#: Told how many ids (bos counted) stand written; returning False ends the text there, unfinished.
OnWord = Callable[[int], bool | None]


@dataclass(frozen=True)
class Written:
    """Words the model wrote, one list of ids per batch entry, each beginning with bos and without
    the end.

    finished: whether the end token came (else max_length cut the text off). logits: per entry,
    one row per id, what follows that id; None when not asked for.
    """

    ids: tuple[tuple[int, ...], ...]
    finished: tuple[bool, ...]
    logits: tuple[Tensor, ...] | None

    @property
    def inner(self) -> tuple[tuple[int, ...], ...]:
        """The ids without bos."""
        return tuple(ids[1:] for ids in self.ids)


@dataclass(frozen=True)
class Segment:
    """What is read at once: und [batch, u, hidden] and gen [batch, g, hidden] tokens that all see
    each other, at one rope id.
    """

    und: Tensor
    gen: Tensor | None = None

    @property
    def tokens(self) -> int:
        return self.und.shape[1] + (0 if self.gen is None else self.gen.shape[1])


class Context:
    """A growing sequence of segments, `batch` of them in step: same lengths, different content.

    capacity: tokens to make room for at once (grows by doubling). After `repeat` the common
    beginning is stored once and only what follows is stored per entry.
    """

    def __init__(self, model: BagelModel, batch: int = 1, capacity: int = 256) -> None:
        self.model = model
        self.batch = batch
        self.length = 0  # tokens in the own store
        self.rope = 0  # next rope id
        self.prefix: Context | None = None  # a batch-1 context that all entries continue
        weight = model.get_input_embeddings().weight
        self.dtype: torch.dtype = weight.dtype
        self.device: torch.device = weight.device
        self.store = KeyValueStore(model.config.llm, batch, capacity, 0, self.dtype, self.device)
        self.store.register(self)

    @property
    def tokens(self) -> int:
        """Tokens read, the common beginning included."""
        return self.length + (self.prefix.tokens if self.prefix else 0)

    def fork(self) -> Context:
        """An independent context that has read the same; nothing is copied until one must."""
        twin = object.__new__(Context)
        twin.model, twin.batch, twin.length, twin.rope = (
            self.model,
            self.batch,
            self.length,
            self.rope,
        )
        twin.prefix, twin.dtype, twin.device = self.prefix, self.dtype, self.device
        twin.store = self.store
        self.store.register(twin)
        return twin

    def repeat(self, count: int, capacity: int = 64) -> Context:
        """`count` continuations of this batch-1 context in step, its tokens stored once for all
        of them."""
        if self.batch != 1:
            raise ValueError(
                f"only a context of batch 1 can be repeated, this one has {self.batch}"
            )
        if count == 1:
            return self.fork()
        many = Context(self.model, count, capacity)
        many.prefix, many.rope = self.fork(), self.rope
        return many

    # -- reading
    @torch.no_grad()
    def add_text(self, ids: Sequence[int] | Tensor) -> Context:
        """Read a text: inner ids, one sequence for all entries or a [batch, n] tensor."""
        inner = torch.as_tensor(ids, dtype=torch.long, device=self.device)
        if inner.ndim == 1:
            inner = inner.expand(self.batch, -1)
        if inner.shape[0] != self.batch:
            raise ValueError(
                f"expected ids for {self.batch} entries, got shape {tuple(inner.shape)}"
            )
        special = self.model.config.tokens
        bos, eos = (inner.new_full((self.batch, 1), id) for id in (special.bos, special.eos))
        self._prefill_text(torch.cat([bos, inner, eos], dim=1))
        return self

    @torch.no_grad()
    def add_vit(self, pixels: Pixels | Sequence[Pixels]) -> Context:
        """Read a picture through the ViT: H x W x 3 uint8 at its size, for all entries or one per
        entry."""
        return self.add_pictures([(None, pixels)])

    @torch.no_grad()
    def add_latents(self, latents: Tensor) -> Context:
        """Read a clean picture as latents, [channels, h, w] for all entries or [batch, channels,
        h, w]."""
        return self.add_pictures([(latents, None)])

    @torch.no_grad()
    def add_pictures(
        self, pictures: Sequence[tuple[Tensor | None, Pixels | Sequence[Pixels] | None]]
    ) -> Context:
        """Read pictures one after the other, of each its latents and then its ViT view; either may
        be None. Small ones share a pass through the layers."""
        looked = iter(self._look([pixels for _, pixels in pictures if pixels is not None]))
        together: list[Segment] = []
        for latents, pixels in pictures:
            own = [] if latents is None else [self._latents(latents)]
            for segment in own if pixels is None else [*own, next(looked)]:
                if together and sum(s.tokens for s in [*together, segment]) > TOGETHER:
                    self._prefill_pictures(together)
                    together = []
                together.append(segment)
        if together:
            self._prefill_pictures(together)
        return self

    def _look(self, every: Sequence[Pixels | Sequence[Pixels]]) -> list[Segment]:
        """Pictures through the ViT; small ones of one size at once."""
        stacks = [self._stack(pixels) for pixels in every]
        one_size = len({stack.shape for stack in stacks}) == 1
        if one_size and sum(s.numel() for s in stacks) <= LOOKED_AT_ONCE:
            seen = self.model.look(torch.cat(stacks)).split(len(stacks[0]))
        else:
            seen = tuple(self.model.look(stack) for stack in stacks)
        start, end = self._marker("start"), self._marker("end")
        return [Segment(torch.cat([start, s.expand(self.batch, -1, -1), end], 1)) for s in seen]

    def _latents(self, latents: Tensor) -> Segment:
        model, patch = self.model, self.model.config.latent_patch_size
        latents = latents.to(self.device)
        if latents.ndim == 3:
            latents = latents[None]
        if latents.ndim != 4 or latents.shape[0] not in (1, self.batch):
            raise ValueError(
                f"expected latents [channels, h, w] or [{self.batch}, channels, h, w], "
                f"got {tuple(latents.shape)}"
            )
        model.require_drawing()
        rows, columns = latents.shape[2] // patch, latents.shape[3] // patch
        ids = grid_ids(rows, columns, model.config.max_latent_size, self.device)
        time = model.time_embedder(torch.zeros(1, device=self.device))
        gen = model.latent_tokens(to_tokens(latents, patch), time, ids).expand(self.batch, -1, -1)
        return Segment(torch.cat([self._marker("start"), self._marker("end")], 1), gen)

    # -- writing
    @torch.no_grad()
    def write(
        self,
        max_length: int,
        end_token: int | None = None,
        *,
        logits: bool = False,
        begin: Sequence[int] = (),
        on_word: OnWord | None = None,
        until: Callable[[Sequence[int]], bool] | None = None,
        pick: Callable[[Tensor], Tensor] | None = None,
    ) -> Written:
        """Write word after word, until `end_token` (default eos) or `max_length` ids, bos counted.

        begin: inner ids the text is made to begin with. on_word: see `OnWord`. until: told the
        inner ids of an entry after each word, whether it is complete. pick: the next ids [batch]
        from logits [batch, vocab]; the likeliest unless given. The context is left as it was.
        """
        special = self.model.config.tokens
        end = special.eos if end_token is None else end_token
        context = self.fork()
        text = [[special.bos, *begin] for _ in range(self.batch)]
        done = [False] * self.batch
        ids = torch.tensor(text, device=self.device)
        rows: list[Tensor] = []
        fed = 0
        while True:
            scores = context._prefill_text(ids, scores=True)
            fed += ids.shape[1]
            if logits:
                rows.append(scores)
            words = scores[:, -1].argmax(-1) if pick is None else pick(scores[:, -1])
            for b, id in enumerate(words.tolist()):
                if not done[b] and id == end:
                    done[b] = True
                elif not done[b] and fed < max_length:
                    text[b].append(id)
                    done[b] = until is not None and until(text[b][1:])
            if all(done) or fed >= max_length:
                break
            if on_word is not None and on_word(fed) is False:
                text = [written[:fed] for written in text]
                break
            ids = words[:, None]
        kept = None
        if logits:
            every = torch.cat(rows, dim=1)
            kept = tuple(every[b, : len(written)] for b, written in enumerate(text))
        return Written(tuple(map(tuple, text)), tuple(done), kept)

    @torch.no_grad()
    def logits_after(self, continuations: Sequence[Sequence[int] | Tensor]) -> list[Tensor]:
        """Logits [batch, len, vocab] after every id of each continuation, given as whole ids (bos
        included): one sequence for all entries or a [batch, len] tensor.

        All continuations are read in one pass over the shared context; the context is left as it
        was.
        """
        texts = [torch.as_tensor(c, device=self.device) for c in continuations]
        if not texts or any(not text.numel() for text in texts):
            raise ValueError("expected continuations of at least one id each (bos opens a text)")
        lengths = [text.shape[-1] for text in texts]
        ids = torch.cat([text.expand(self.batch, -1) for text in texts], dim=1)
        steps = torch.cat([torch.arange(n, device=self.device) for n in lengths])
        branch = torch.repeat_interleave(
            torch.arange(len(lengths), device=self.device),
            torch.tensor(lengths, device=self.device),
        )
        own = (branch[:, None] == branch) & (steps[:, None] >= steps)
        context = self.fork()
        scores = context._read_text(ids, self.rope + steps[None], own)
        return list(self.model.logits(scores).split(lengths, dim=1))

    # -- inside
    def _marker(self, which: str) -> Tensor:
        special = self.model.config.tokens
        id = special.start_of_image if which == "start" else special.end_of_image
        return self.model.words(torch.tensor([[id]], device=self.device)).expand(
            self.batch, -1, -1
        )

    def _stack(self, pixels: Pixels | Sequence[Pixels]) -> Tensor:
        if not isinstance(pixels, Tensor | np.ndarray):
            pixels = torch.stack([torch.as_tensor(p) for p in pixels])
        stack = torch.as_tensor(pixels).to(self.device)
        stack = stack[None] if stack.ndim == 3 else stack
        fits = stack.ndim == 4 and stack.shape[3] == 3 and stack.shape[0] in (1, self.batch)
        if not fits or stack.dtype != torch.uint8:
            raise ValueError(
                f"expected H x W x 3 uint8 pictures, one or {self.batch}, "
                f"got {tuple(stack.shape)} {stack.dtype}"
            )
        return stack

    def _prefill_text(self, ids: Tensor, scores: bool = False) -> Tensor:
        """Read ids [batch, n] causally and advance; logits [batch, n, vocab] when asked for."""
        n = ids.shape[1]
        rope = torch.arange(self.rope, self.rope + n, device=self.device)[None]
        mask = None
        if n > 1:
            mask = torch.ones(n, n, dtype=torch.bool, device=self.device).tril()
        if scores:
            out = self.model.logits(self._read_text(ids, rope, mask))
        else:
            self._run(self.model.words(ids), None, rope, mask, prefill=True)
            out = ids
        self.rope += n
        return out

    def _read_text(self, ids: Tensor, rope: Tensor, own: Tensor | None) -> Tensor:
        und, _ = self._run(self.model.words(ids), None, rope, own, prefill=False)
        assert und is not None
        return und

    def _prefill_pictures(self, segments: Sequence[Segment]) -> None:
        """In one pass: the tokens of each see each other and those of the segments before."""
        unds = [(i, s.und) for i, s in enumerate(segments)]
        gens = [(i, s.gen) for i, s in enumerate(segments) if s.gen is not None]
        place = torch.cat(
            [torch.full(x.shape[1:2], i, device=self.device) for i, x in (*unds, *gens)]
        )
        und = torch.cat([x for _, x in unds], 1)
        gen = torch.cat([x for _, x in gens], 1) if gens else None
        own = place[:, None] >= place if len(segments) > 1 else None
        self._run(und, gen, self.rope + place[None], own, prefill=True)
        self.rope += len(segments)

    def _run(
        self,
        und: Tensor,
        gen: Tensor | None,
        rope: Tensor,
        own: Tensor | None,
        prefill: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Take tokens in. own: [n, n], which of the new tokens see which; all see the context."""
        n = und.shape[1] + (0 if gen is None else gen.shape[1])
        start = self._make_room(n)
        store, end = self.store, start + n
        mask = None
        if own is not None and not self.prefix:
            seen = torch.ones(n, start, dtype=torch.bool, device=self.device)
            mask = torch.cat([seen, own], dim=1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store.write(layer, start, k, v)
            if not q.shape[2]:
                return q
            if self.prefix:
                parts = self._parts(layer, start)
                return attention.over_parts(q, [*parts, (k, v)], own)
            keys, values = store.view(layer, 0, end)
            if mask is None:
                return attention.full(q, keys, values)
            return attention.masked(q, keys, values, mask)

        decoder = self.model.decoder
        cos, sin = self.model.rotary(rope)
        if prefill:
            decoder.prefill(und, gen, cos, sin, attend)
            out: tuple[Tensor | None, Tensor | None] = (None, None)
        else:
            out = decoder(und, gen, cos, sin, attend)
        self.length = end
        return out

    def _parts(self, layer: int, length: int) -> list[tuple[Tensor, Tensor]]:
        """Stored keys and values, the common beginning first."""
        parts = self.prefix._parts(layer, self.prefix.length) if self.prefix else []
        if length:
            parts.append(self.store.view(layer, 0, length))
        return parts

    def _make_room(self, count: int) -> int:
        """Slots for `count` more tokens in a store where nobody else's are overwritten; the first
        slot."""
        start, need = self.length, self.length + count
        if not self.store.free_after(start):
            self.store.release(self)
            capacity = max(need, min(self.store.capacity, 2 * need))
            self.store = self.store.copy_prefix(start, capacity, self.model.config.llm)
            self.store.register(self)
        self.store.reserve(capacity=need)
        return start

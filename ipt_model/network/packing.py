"""Training samples as segments, and segments as one padded batch with each expert's tokens side
by side.

A sample is a list of segments in reading order. `pack` lays out, per sample, first all tokens
that read (text, ViT, markers) and then all latent tokens, pads both groups, and records for every
token its rope id, its place in the original order and its segment: the attention rule is computed
from these, so order in memory is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .config import BagelConfig
from .embeddings import grid_ids
from .latents import to_tokens


@dataclass(frozen=True)
class TextSegment:
    """Inner ids of a text; bos and eos are added here. loss: the text is to be predicted."""

    ids: Sequence[int]
    loss: bool = False


@dataclass(frozen=True)
class VitSegment:
    """A picture to look at: H x W x 3 uint8 at the ViT's size."""

    pixels: Tensor | np.ndarray


@dataclass(frozen=True)
class LatentSegment:
    """A picture as latents, channels x h x w, scaled and shifted.

    With `noise` (token layout, [tokens, numbers]) it is a picture to be drawn, at flow time t in
    (0, 1], and invisible to everything else. Without, it is clean context at t = 0.
    """

    latents: Tensor
    noise: Tensor | None = None
    t: float = 0.0


@dataclass(frozen=True)
class DroppedPicture:
    """A picture left out of its sample so that guidance can be learnt: no tokens, its rope id
    stays used."""


Segment = TextSegment | VitSegment | LatentSegment | DroppedPicture
Sample = Sequence[Segment]


class PackingError(ValueError):
    """A segment cannot be packed; the message names the sample, the segment and what is wrong
    with it."""


@dataclass(frozen=True)
class PackedBatch:
    """B samples, U reading tokens and G latent tokens each (padded); T = U + G. None where a kind
    is absent.

    und_ids [B, U]; vit_pictures: stacks n x H x W x 3 uint8, one per size, whose tokens in order
    go to vit_slots (into B * U). latents, noise [B, G, numbers]; times [S] and time_index [B, G];
    latent_ids [B, G]. Per token, [B, T]: rope id, order in the sample, segment number (-1 for
    padding), bidirectional, noised.
    position [B, T]: index in the concatenation of all samples. ce_slots into B * U, mse_slots
    into B * G.
    """

    und_ids: Tensor | None
    vit_pictures: tuple[Tensor, ...]
    vit_slots: Tensor | None
    latents: Tensor | None
    noise: Tensor | None
    times: Tensor | None
    time_index: Tensor | None
    latent_ids: Tensor | None
    rope: Tensor
    order: Tensor
    segment: Tensor
    bidirectional: Tensor
    is_noised: Tensor
    position: Tensor
    ce_slots: Tensor | None
    ce_labels: Tensor | None
    ce_positions: Tensor | None
    mse_slots: Tensor | None
    mse_positions: Tensor | None
    lengths: tuple[int, ...]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PackedBatch:
        """The same batch on another device."""

        def move(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=non_blocking)
            if isinstance(value, tuple):
                return tuple(move(v) for v in value)
            return value

        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self)})

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(self.lengths)

    def mask(self) -> Tensor:
        """[B, 1, T, T], True where the row's token may see the column's. Padding sees itself
        alone."""
        i, j = (lambda x: x[:, :, None]), (lambda x: x[:, None, :])
        together = i(self.segment) == j(self.segment)
        sees = (j(self.order) <= i(self.order)) | (together & i(self.bidirectional))
        sees &= together | ~j(self.is_noised)
        sees &= (i(self.segment) >= 0) & (j(self.segment) >= 0)
        sees |= torch.eye(self.rope.shape[1], dtype=torch.bool, device=self.rope.device)
        return sees[:, None]

    def noised(self) -> Tensor:
        """x_t = (1 - t) x_0 + t noise, [B, G, numbers]; clean pictures as they are."""
        assert self.latents is not None and self.times is not None and self.time_index is not None
        if self.noise is None:
            return self.latents
        t = self.times[self.time_index][..., None]
        return (1 - t) * self.latents + t * self.noise

    def mse_targets(self) -> Tensor:
        """noise - x_0 where a velocity is to be predicted, [m, numbers]."""
        assert self.noise is not None and self.latents is not None
        return (self.noise - self.latents).flatten(0, 1)[self.mse_slots]

    def is_gen(self) -> Tensor:
        """[tokens] of the concatenated samples: True where the drawing expert is used."""
        gen = torch.zeros_like(self.segment, dtype=torch.bool)
        if self.latents is not None:
            gen[:, -self.latents.shape[1] :] = True
        return self._concatenated(gen)

    def rope_ids(self) -> Tensor:
        """[tokens] of the concatenated samples."""
        return self._concatenated(self.rope)

    def sample_mask(self, index: int) -> Tensor:
        """[length, length] mask of one sample in its original order."""
        real = self.segment[index] >= 0
        places = self.order[index][real].argsort()
        mask = self.mask()[index, 0][real][:, real]
        return mask[places][:, places]

    def concatenate(self, und: Tensor | None, gen: Tensor | None) -> Tensor:
        """[tokens, ...] in the original order, from the two padded groups."""
        return self._concatenated(torch.cat([x for x in (und, gen) if x is not None], dim=1))

    def _concatenated(self, values: Tensor) -> Tensor:
        real = self.segment >= 0
        return values[real][self.position[real].argsort()]


class _Rows:
    """Per-token columns of one group (reading or latent) of one sample, grown segment by
    segment."""

    def __init__(self) -> None:
        self.count = 0
        self.columns: dict[str, list[np.ndarray]] = {}

    def add(self, count: int, **columns: Any) -> int:
        start, self.count = self.count, self.count + count
        for name, value in columns.items():
            column = value if isinstance(value, np.ndarray) else np.full(count, value)
            self.columns.setdefault(name, []).append(column)
        return start

    def padded(self, name: str, size: int, fill: int) -> np.ndarray:
        out = np.full(size, fill, dtype=np.int64)
        parts = self.columns.get(name)
        if parts:
            out[: self.count] = np.concatenate(parts)
        return out


def pack(samples: Sequence[Sample], config: BagelConfig) -> PackedBatch:
    """Lay out samples for `BagelModel.forward`. Tensors come on the CPU; `.to(device)` moves
    them."""
    return _Packer(config).pack(samples)


class _Packer:
    def __init__(self, config: BagelConfig) -> None:
        self.config, self.vit, self.tokens = config, config.vit, config.tokens
        self.latent_patch, self.latent_side = config.latent_patch_size, config.max_latent_size
        self.times: list[float] = [0.0]
        self.pictures: list[tuple[int, int, Tensor]] = []  # sample, first slot, pixels
        self.latents: list[
            tuple[int, int, Tensor, Tensor | None]
        ] = []  # sample, first slot, x0, noise
        self.ce: list[tuple[int, int, np.ndarray, int]] = []  # sample, slot, labels, position
        self.offset = 0  # of the sample in the concatenation

    def pack(self, samples: Sequence[Sample]) -> PackedBatch:
        rows = [(_Rows(), _Rows()) for _ in samples]
        lengths, starts = [], []
        for b, sample in enumerate(samples):
            starts.append(self.offset)
            lengths.append(self._add_sample(b, sample, *rows[b]))
            self.offset += lengths[-1]
        if not self.offset:
            raise PackingError("expected at least one segment with tokens, got none")
        u = max(und.count for und, _ in rows)
        g = max(gen.count for _, gen in rows)

        def column(name: str, fill: int = 0) -> Tensor:
            both = [
                np.concatenate([und.padded(name, u, fill), gen.padded(name, g, fill)])
                for und, gen in rows
            ]
            return torch.from_numpy(np.stack(both))

        order = column("order")
        latents, noise, mse_slots = self._latents(len(samples), g)
        position = order + torch.tensor(starts)[:, None]
        slots = [b * u + slot + np.arange(len(ids)) for b, slot, ids, _ in self.ce]
        pictures, vit_slots = self._pictures(u)
        return PackedBatch(
            und_ids=column("id")[:, :u] if u else None,
            vit_pictures=pictures,
            vit_slots=vit_slots,
            latents=latents,
            noise=noise,
            times=torch.tensor(self.times) if g else None,
            time_index=column("time")[:, u:] if g else None,
            latent_ids=column("place")[:, u:] if g else None,
            rope=column("rope"),
            order=order,
            segment=column("segment", -1),
            bidirectional=column("bidirectional").bool(),
            is_noised=column("noised").bool(),
            position=position,
            ce_slots=_joined(slots),
            ce_labels=_joined([ids for _, _, ids, _ in self.ce]),
            ce_positions=_joined([first + np.arange(len(ids)) for _, _, ids, first in self.ce]),
            mse_slots=mse_slots,
            mse_positions=None if mse_slots is None else position[:, u:].flatten()[mse_slots],
            lengths=tuple(lengths),
        )

    def _add_sample(self, b: int, sample: Sample, und: _Rows, gen: _Rows) -> int:
        place = rope = 0
        for s, segment in enumerate(sample):
            where = f"sample {b}, segment {s}"
            if isinstance(segment, DroppedPicture):
                rope += 1
            elif isinstance(segment, TextSegment):
                count = self._add_text(b, s, segment, und, place, rope)
                place, rope = place + count, rope + count
            else:
                count = self._add_picture(b, s, segment, und, gen, place, rope, where)
                drawn = isinstance(segment, LatentSegment) and segment.noise is not None
                place, rope = place + count, rope + (0 if drawn else 1)
        return place

    def _add_text(
        self, b: int, s: int, segment: TextSegment, und: _Rows, place: int, rope: int
    ) -> int:
        ids = np.asarray([self.tokens.bos, *segment.ids, self.tokens.eos], dtype=np.int64)
        steps = np.arange(len(ids))
        slot = und.add(
            len(ids),
            id=ids,
            rope=rope + steps,
            order=place + steps,
            segment=s,
            bidirectional=0,
            noised=0,
        )
        if segment.loss:
            self.ce.append((b, slot, ids[1:], self.offset + place))
        return len(ids)

    def _add_picture(
        self,
        b: int,
        s: int,
        segment: VitSegment | LatentSegment,
        und: _Rows,
        gen: _Rows,
        place: int,
        rope: int,
        where: str,
    ) -> int:
        common = {"rope": rope, "segment": s, "bidirectional": 1}
        noised = int(isinstance(segment, LatentSegment) and segment.noise is not None)
        start, end = self.tokens.start_of_image, self.tokens.end_of_image
        if isinstance(segment, VitSegment):
            pixels = torch.as_tensor(segment.pixels)
            patch, side = self.vit.patch, self.vit.side
            if pixels.dtype != torch.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise PackingError(f"{where}: expected H x W x 3 uint8, got {tuple(pixels.shape)}")
            if (
                pixels.shape[0] % patch
                or pixels.shape[1] % patch
                or max(pixels.shape) > patch * side
            ):
                raise PackingError(
                    f"{where}: a ViT picture needs sides that are multiples of {patch}, "
                    f"at most {patch * side}, "
                    f"got {pixels.shape[0]} x {pixels.shape[1]}"
                )
            count = pixels.shape[0] * pixels.shape[1] // patch**2
            inner = np.arange(1, count + 1)
            und.add(1, id=start, order=place, noised=0, **common)
            slot = und.add(count, id=0, order=place + inner, noised=0, **common)
            self.pictures.append((b, slot, pixels))
        else:
            tokens = to_tokens(segment.latents.float(), self.latent_patch)
            if segment.noise is not None and segment.noise.shape != tokens.shape:
                raise PackingError(
                    f"{where}: noise has shape {tuple(segment.noise.shape)}, "
                    f"the latents in token layout {tuple(tokens.shape)}"
                )
            if bool(noised) != (segment.t > 0):
                raise PackingError(
                    f"{where}: a picture has noise if and only if t > 0, got t = {segment.t}"
                )
            count = len(tokens)
            inner = np.arange(1, count + 1)
            rows, columns = (n // self.latent_patch for n in segment.latents.shape[1:])
            ids = grid_ids(rows, columns, self.latent_side).numpy()
            time = 0
            if noised:
                time = len(self.times)
                self.times.append(segment.t)
            und.add(1, id=start, order=place, noised=noised, **common)
            slot = gen.add(
                count, time=time, place=ids, order=place + inner, noised=noised, **common
            )
            self.latents.append((b, slot, tokens, segment.noise))
        und.add(1, id=end, order=place + count + 1, noised=noised, **common)
        return count + 2

    def _pictures(self, u: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if not self.pictures:
            return (), None
        by_size: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
        for b, slot, pixels in self.pictures:
            by_size.setdefault(tuple(pixels.shape), []).append((b * u + slot, pixels))
        stacks: list[Tensor] = []
        slots: list[np.ndarray] = []
        for shape, group in by_size.items():
            count = shape[0] * shape[1] // self.vit.patch**2
            stacks.append(torch.stack([pixels for _, pixels in group]))
            slots.extend(first + np.arange(count) for first, _ in group)
        return tuple(stacks), _joined(slots)

    def _latents(self, batch: int, g: int) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        if not g:
            return None, None, None
        latents = torch.zeros(batch, g, self.config.latent_numbers)
        drawn = any(noise is not None for *_, noise in self.latents)
        noise = torch.zeros_like(latents) if drawn else None
        slots: list[np.ndarray] = []
        for b, slot, tokens, its_noise in self.latents:
            latents[b, slot : slot + len(tokens)] = tokens
            if its_noise is not None and noise is not None:
                noise[b, slot : slot + len(tokens)] = its_noise
                slots.append(b * g + slot + np.arange(len(tokens)))
        return latents, noise, _joined(slots)


def _joined(parts: list[np.ndarray]) -> Tensor | None:
    return torch.from_numpy(np.concatenate(parts)) if parts else None

"""Drawing: from noise to latents along the learnt flow, guided by up to three contexts.

All guidance branches and all imagined views of a step go through the decoder as one batch. Times,
the guidance schedule and every embedding that does not depend on the picture are made before the
first step, so the loop itself never waits for the device. Works in token layout; decoding to
pixels is the VAE's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..network import attention
from ..network.embeddings import grid_ids
from ..question import Cancelled
from .anchor import Anchor, AnchoredSteps
from .context import Context
from .replay import RecordedStep

if TYPE_CHECKING:
    from ..network.model import BagelModel

#: Called after each step with (steps done, steps in all, latents [k, tokens, numbers] as they
#: would come out if the flow went straight on); returning False stops the drawing with
#: `Cancelled`.
OnStep = Callable[[int, int, Tensor], bool | None]


@dataclass(frozen=True)
class FlowSettings:
    """How a picture is drawn; the defaults are those of the reference for editing.

    points: times including both ends, so points - 1 steps. shift: > 1 spends more steps near the
    noise.
    text_scale, image_scale: guidance strengths, 1 is off; image guidance acts only with text
    guidance.
    interval: guided while low < t <= high. renorm: what is kept from growing under guidance: the
    norm over the whole picture (`global`), per token (`channel`), or per token before the image
    guidance (`text_channel`); renorm_min: the smallest factor.
    cache_every: 1 runs the model at every step; n > 1 only at every n-th after the first
    `cache_warmup`, the steps between take the velocity extrapolated in time with a polynomial of
    degree `cache_order` (0 to 2).
    min_steps: the fewest steps that still draw something usable; a tighter budget does not draw at
    all.
    anchoring: how a drawing keeps to what was seen of its view: `ddnm` holds known cells while it
    is drawn, `off` leaves it to draw freely. anchor_noise: 0 to 1, how much of the noise is
    renewed at each step of `ddnm`. Drawings of which nothing is known are not touched by either.
    """

    points: int = 50
    shift: float = 3.0
    text_scale: float = 4.0
    image_scale: float = 2.0
    interval: tuple[float, float] = (0.0, 1.0)
    renorm: Literal["global", "channel", "text_channel"] = "text_channel"
    renorm_min: float = 0.0
    cache_every: int = 1
    cache_warmup: int = 4
    cache_order: int = 1
    min_steps: int = 4
    anchoring: Literal["off", "ddnm"] = "ddnm"
    anchor_noise: float = 0.85

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points: a flow needs at least 2 times, got {self.points}")
        if self.shift <= 0:
            raise ValueError(f"shift: expected a positive number, got {self.shift}")
        if self.renorm not in ("global", "channel", "text_channel"):
            raise ValueError(
                f"renorm: expected global, channel or text_channel, got {self.renorm!r}"
            )
        low, high = self.interval
        if not 0.0 <= low < high <= 1.0:
            raise ValueError(f"interval: expected 0 <= low < high <= 1, got {self.interval}")
        if self.cache_every < 1 or not 0 <= self.cache_order <= 2 or self.cache_warmup < 1:
            raise ValueError(
                "cache: expected cache_every >= 1, cache_warmup >= 1 and cache_order 0 to 2, got "
                f"{self.cache_every}, {self.cache_warmup}, {self.cache_order}"
            )
        if self.anchoring not in ("off", "ddnm"):
            raise ValueError(f"anchoring: expected off or ddnm, got {self.anchoring!r}")
        if not 0.0 <= self.anchor_noise <= 1.0:
            raise ValueError(f"anchor_noise: expected 0 to 1, got {self.anchor_noise}")

    @property
    def steps(self) -> int:
        return self.points - 1

    def times(self) -> Tensor:
        """[points] float32 on the CPU, from 1 down to 0."""
        t = torch.linspace(1, 0, self.points)
        return self.shift * t / (1 + (self.shift - 1) * t)

    def guided(self) -> list[bool]:
        """For each step, whether guidance acts."""
        t = self.times()[:-1]
        low, high = self.interval
        inside = (t > low) & (t <= high)
        return [self.text_scale > 1 and bool(i) for i in inside.tolist()]

    def computed(self) -> list[bool]:
        """For each step, whether the model runs (else the velocity is extrapolated)."""
        after = range(-self.cache_warmup, self.steps - self.cache_warmup)
        return [i < 0 or (i + 1) % self.cache_every == 0 for i in after]


@torch.no_grad()
def draw(
    model: BagelModel,
    main: Context,
    cfg_text: Context | None,
    cfg_img: Context | None,
    height: int,
    width: int,
    settings: FlowSettings,
    *,
    noise: Tensor | None = None,
    count: int = 1,
    generator: torch.Generator | None = None,
    on_step: OnStep | None = None,
    record: bool = False,
    anchor: Anchor | None = None,
) -> Tensor:
    """Draw `count` pictures of height x width pixels at once; latents [count, tokens, numbers]
    float32.

    The contexts have batch 1 or `count` and are left as they are. noise: [tokens, numbers] or
    [count, tokens, numbers]; without it drawn on the CPU from `generator`, one picture after the
    other, so that the first is the same whatever `count`. cfg_text and cfg_img may be None where
    their scale is 1. record: capture a step as a CUDA graph and replay it, which pays where many
    small kernels wait for the host; on other devices it changes nothing. anchor: what is known of
    the pictures; ends up in them as it is, unless the settings say `off`.
    """
    model.require_drawing()
    stride, side = model.config.latent_stride, model.config.max_latent_size
    if height % stride or width % stride or height < 1 or width < 1:
        raise ValueError(
            f"a drawn picture's sides must be multiples of {stride}, got {height} x {width}"
        )
    rows, columns = height // stride, width // stride
    device = main.device
    x = _noise(model, rows * columns, noise, count, generator).to(device)
    branches = _branches(main, cfg_text, cfg_img, settings)
    flow = _Flow(model, branches, grid_ids(rows, columns, side, device), x.shape[0], settings)
    kept = None
    if anchor is not None and settings.anchoring != "off":
        kept = AnchoredSteps(anchor, x, settings.anchor_noise)
    times = settings.times()
    steps = (times[:-1] - times[1:]).to(device)
    now = times.to(device)
    host_times = times.tolist()
    past: list[tuple[float, Tensor]] = []  # (time, velocity) of the latest computed steps
    before: bool | None = None
    schedule = zip(settings.guided(), settings.computed(), strict=True)
    for i, (guided, computed) in enumerate(schedule):
        if guided != before:  # the velocity jumps here: nothing to extrapolate from
            past, before = [], guided
        if computed or len(past) <= settings.cache_order:
            velocity = flow.step(x, i, guided, record)
            past = [*past, (host_times[i], velocity)][-settings.cache_order - 1 :]
        else:
            velocity = _extrapolate(past, host_times[i])
        straight: Tensor | None = None
        if kept is None:
            x = x - velocity * steps[i]
        else:
            x, straight = kept.move(x, velocity, host_times[i], host_times[i + 1])
        if on_step is None:
            continue
        if straight is None:
            straight = x - velocity * now[i + 1]
        if on_step(i + 1, settings.steps, straight) is False:
            raise Cancelled(f"drawing stopped after step {i + 1} of {settings.steps}")
    return x


def _noise(
    model: BagelModel,
    tokens: int,
    noise: Tensor | None,
    count: int,
    generator: torch.Generator | None,
) -> Tensor:
    numbers = model.config.latent_numbers
    if noise is None:
        return torch.stack(
            [torch.randn(tokens, numbers, generator=generator) for _ in range(count)]
        )
    noise = noise[None] if noise.ndim == 2 else noise
    if noise.ndim != 3 or noise.shape[1:] != (tokens, numbers) or noise.shape[0] not in (1, count):
        raise ValueError(
            f"noise: expected [{count}, {tokens}, {numbers}], got {tuple(noise.shape)}"
        )
    return noise.float().expand(count, -1, -1)


def _branches(
    main: Context, cfg_text: Context | None, cfg_img: Context | None, settings: FlowSettings
) -> list[Context]:
    """The contexts that the guided steps run over, main first."""
    branches = [main]
    if settings.text_scale > 1:
        if cfg_text is None:
            raise ValueError(f"text_scale {settings.text_scale} needs a cfg_text context")
        branches.append(cfg_text)
        if settings.image_scale > 1:
            if cfg_img is None:
                raise ValueError(f"image_scale {settings.image_scale} needs a cfg_img context")
            branches.append(cfg_img)
    return branches


def _extrapolate(past: list[tuple[float, Tensor]], t: float) -> Tensor:
    """The polynomial through the past velocities, at time t (Lagrange's form)."""
    total: Tensor | None = None
    for i, (ti, velocity) in enumerate(past):
        weight = 1.0
        for j, (tj, _) in enumerate(past):
            if j != i:
                weight *= (t - tj) / (ti - tj)
        part = velocity * weight
        total = part if total is None else total + part
    assert total is not None
    return total


class _Flow:
    """What stays the same over all steps of one drawing."""

    def __init__(
        self,
        model: BagelModel,
        branches: list[Context],
        ids: Tensor,
        count: int,
        settings: FlowSettings,
    ) -> None:
        self.model, self.branches, self.count, self.settings = model, branches, count, settings
        device = ids.device
        for context in branches:
            if context.batch not in (1, count):
                raise ValueError(f"contexts need batch 1 or {count}, got one of {context.batch}")
            context.store.reserve(front=len(ids) + 2)
        self.recorded: dict[bool, RecordedStep] = {}
        self.place = model.latent_pos_embed(ids)
        self.time = model.time_embedder(settings.times()[:-1].to(device))
        tokens = model.config.tokens
        markers = torch.tensor([[tokens.start_of_image, tokens.end_of_image]], device=device)
        self.markers = model.words(markers)
        self.none = markers.new_empty(0)  # what the markers become in the end is not needed
        rope = torch.tensor([[c.rope] for c in branches], device=device).repeat_interleave(
            count, 0
        )
        self.cos, self.sin = model.rotary(rope)

    def step(self, x: Tensor, index: int, guided: bool, record: bool) -> Tensor:
        """Velocity at x in step `index`; `record` captures the work once and replays it."""
        if not record:
            return self.velocity(x, self.time[index], guided)
        if guided not in self.recorded:
            self.recorded[guided] = RecordedStep(
                partial(self.velocity, guided=guided), x, self.time[index]
            )
        return self.recorded[guided](x, self.time[index])

    def velocity(self, x: Tensor, time: Tensor, guided: bool) -> Tensor:
        """Velocity [count, tokens, numbers] float32 at x, with guidance or without."""
        model, count = self.model, self.count
        branches = self.branches if guided else self.branches[:1]
        batch = len(branches) * count
        gen = model.vae2llm(x.to(self.place.dtype)) + (self.place + time)
        gen = gen.repeat(len(branches), 1, 1) if len(branches) > 1 else gen
        und = self.markers.expand(batch, -1, -1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            seen = [
                self._attend(context, layer, q[a : a + count], k[a : a + count], v[a : a + count])
                for a, context in zip(range(0, batch, count), branches, strict=True)
            ]
            return seen[0] if len(seen) == 1 else torch.cat(seen)

        angles = self.cos[:batch], self.sin[:batch]
        _, gen_out = model.decoder(und, gen, *angles, attend, und_rows=self.none)
        assert gen_out is not None
        v = model.velocity(gen_out).float()
        return _guide(list(v.split(count)), self.settings) if guided else v

    def _attend(self, context: Context, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One branch: its pictures see its context and, each, itself."""
        if context.prefix:
            return attention.over_parts(q, [*context._parts(layer, context.length), (k, v)])
        store, n = context.store, k.shape[2]
        if context.batch == self.count:
            store.write(layer, -n, k, v)
            return attention.full(q, *store.view(layer, -n, context.length))
        seen = []
        for j in range(
            self.count
        ):  # one stored context, several pictures: they take turns in its front
            store.write(layer, -n, k[j : j + 1], v[j : j + 1])
            seen.append(attention.full(q[j : j + 1], *store.view(layer, -n, context.length)))
        return torch.cat(seen)


def _guide(v: list[Tensor], settings: FlowSettings) -> Tensor:
    """Guided velocity from those of main, cfg_text and (with image guidance) cfg_img."""
    plain = v[0]
    g = v[1] + settings.text_scale * (plain - v[1])
    if settings.renorm == "text_channel":
        g = g * _shrink(plain, g, (-1,), settings.renorm_min)
    if len(v) > 2:
        g = v[2] + settings.image_scale * (g - v[2])
    if settings.renorm == "global":
        g = g * _shrink(plain, g, (-2, -1), settings.renorm_min)
    elif settings.renorm == "channel":
        g = g * _shrink(plain, g, (-1,), settings.renorm_min)
    return g


def _shrink(plain: Tensor, guided: Tensor, dims: tuple[int, ...], least: float) -> Tensor:
    size = torch.linalg.vector_norm(plain, dim=dims, keepdim=True)
    grown = torch.linalg.vector_norm(guided, dim=dims, keepdim=True)
    return (size / (grown + 1e-8)).clamp(least, 1.0)

"""Other ways to hold a drawing to what was seen, for `anchored_drawing.py` to compare.

The package has one of them (`ipt_model.inference.anchor`). All work on the flow of the package, x
at time t being (1 - t) picture + t noise and the velocity noise - picture; y is the known latents
and m marks the cells that are held. Each draws as `flow.draw` does, without previews and skipped
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ipt_model.inference import flow
from ipt_model.inference.anchor import Anchor
from ipt_model.inference.flow import FlowSettings
from ipt_model.network.embeddings import grid_ids

#: How exactly DING takes y, as a standard deviation: its published setting.
DING_SPREAD = 0.01
#: (x, t, s, velocity at x and t, velocity at any x and s, first noise, new noise, y, m) -> x at s
Move = Callable[..., Tensor]


def blended(x, t, s, v, again, fixed, fresh, y, m):  # type: ignore[no-untyped-def]
    """Known cells are put on the straight line between their noise and y after every step."""
    return torch.where(m, (1 - s) * y + s * fixed, x - (t - s) * v)


def ding(x, t, s, v, again, fixed, fresh, y, m):  # type: ignore[no-untyped-def]
    """Decoupled inpainting guidance (arXiv 2512.18365), from the paper's formulas.

    The step to s is a Gaussian; a sample of it is looked at by the model once more, the noise
    found there says what y looks like at s, and known cells are the product of both Gaussians.
    """
    spread = s * s  # of the step, the published choice
    mean = (1 - s) * (x - t * v) + math.sqrt(max(0.0, s * s - spread * spread)) * (x + (1 - t) * v)
    if s == 0.0:
        return torch.where(m, y, mean)
    z = mean + spread * fresh()
    seen = (1 - s) * y + s * (z + (1 - s) * again(z))
    exact, loose = ((1 - s) * DING_SPREAD) ** -2, spread**-2
    both = torch.where(m, exact + loose, loose)
    middle = torch.where(m, exact * seen + loose * mean, loose * mean) / both
    return middle + both.rsqrt() * fresh()


#: Name: (one step, runs of the model in a step).
SCHEMES: dict[str, tuple[Move, int]] = {
    "blended": (blended, 1),
    "ding": (ding, 2),
}


def drawer(move: Move) -> Callable[..., Tensor]:
    """What can stand in for `flow.draw`."""

    def draw(  # type: ignore[no-untyped-def]
        model,
        main,
        cfg_text,
        cfg_img,
        height: int,
        width: int,
        settings: FlowSettings,
        *,
        noise: Tensor,
        count: int,
        on_step=None,
        anchor: Anchor | None = None,
    ) -> Tensor:
        if anchor is None:
            return flow.draw(
                model,
                main,
                cfg_text,
                cfg_img,
                height,
                width,
                settings,
                noise=noise,
                count=count,
                on_step=on_step,
            )
        stride, side = model.config.latent_stride, model.config.max_latent_size
        ids = grid_ids(height // stride, width // stride, side, main.device)
        branches = flow._branches(main, cfg_text, cfg_img, settings)
        steps = flow._Flow(model, branches, ids, count, settings)
        times, guided = settings.times().tolist(), settings.guided()
        # as many numbers whatever the batch, so that a picture has the same noise in any
        generators = [
            torch.Generator().manual_seed(int(own[0, 0].abs() * 1e6)) for own in noise.cpu()
        ]

        def fresh() -> Tensor:
            return torch.stack([torch.randn(noise.shape[1:], generator=g) for g in generators])

        x, y, m = noise, anchor.latents, anchor.held[..., None]
        for i, (t, s) in enumerate(pairwise(times)):
            v = steps.step(x, i, guided[i], False)

            def again(z: Tensor, i: int = i) -> Tensor:
                return steps.step(z, i + 1, guided[i + 1], False)

            x = move(x, t, s, v, again, noise, fresh, y, m)
        if on_step is not None:
            on_step(settings.steps, settings.steps, x)
        return x

    return draw

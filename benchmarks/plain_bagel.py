"""BAGEL written down plainly: one dense mask, no cache, one guidance branch after the other.

The slow, obvious way, sharing nothing with `ipt_model` but the numbers of its configuration.
Speed is measured against it, and tests compare against it where no golden numbers exist. float32,
batch 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ipt_model.network.config import BagelConfig

#: ("text", inner ids) | ("vit", H x W x 3 uint8) | ("vae", channels x h x w), in reading order
Segments = Sequence[tuple[str, Any]]


class PlainBagel:
    def __init__(self, config: BagelConfig, weights: dict[str, Tensor]) -> None:
        self.c, self.w = config, {name: w.detach().float() for name, w in weights.items()}
        self.kept: dict[Any, Any] = {}  # tables and looked-at pictures, so as not to exaggerate

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def table(self, side: int, dim: int) -> Tensor:
        rows = []
        for row in range(side):
            for column in range(side):
                parts = []
                for number in (column, row):
                    i = torch.arange(dim // 4)
                    angle = number * 10000.0 ** (-i / (dim / 4))
                    parts += [angle.sin(), angle.cos()]
                rows.append(torch.cat(parts))
        return torch.stack(rows)

    def see(self, pixels: Tensor) -> Tensor:
        vit, p = self.c.vit, self.c.vit.patch
        x = (pixels.float() / 255 - 0.5) / 0.5
        squares, ids = [], []
        for r in range(pixels.shape[0] // p):
            for s in range(pixels.shape[1] // p):
                squares.append(x[r * p : (r + 1) * p, s * p : (s + 1) * p].reshape(-1))
                ids.append(r * vit.side + s)
        name = "vit_model.vision_model."
        x = self.linear(torch.stack(squares), name + "embeddings.patch_embedding")
        x = x + self.w[name + "embeddings.position_embedding.weight"][ids]

        def norm(x: Tensor, which: str) -> Tensor:
            weight, bias = self.w[name + which + ".weight"], self.w[name + which + ".bias"]
            return F.layer_norm(x, (vit.hidden,), weight, bias, vit.eps)

        for i in range(vit.layers):
            layer = f"encoder.layers.{i}."
            y = norm(x, layer + "layer_norm1")
            q, k, v = (
                self.linear(y, f"{name}{layer}self_attn.{n}_proj")
                .view(len(y), vit.heads, -1)
                .transpose(0, 1)
                for n in "qkv"
            )
            scores = q @ k.transpose(1, 2) / (vit.hidden // vit.heads) ** 0.5
            y = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
            x = x + self.linear(y, f"{name}{layer}self_attn.out_proj")
            y = self.linear(norm(x, layer + "layer_norm2"), f"{name}{layer}mlp.fc1")
            x = x + self.linear(F.gelu(y, approximate="tanh"), f"{name}{layer}mlp.fc2")
        x = F.gelu(self.linear(norm(x, "post_layernorm"), "connector.fc1"), approximate="tanh")
        return self.linear(x, "connector.fc2") + self.table(vit.side, self.c.llm.hidden)[ids]

    def latents(self, tokens: Tensor, columns: int, t: float) -> Tensor:
        side, hidden = self.c.max_latent_size, self.c.llm.hidden
        ids = [i // columns * side + i % columns for i in range(len(tokens))]
        angle = t * 10000.0 ** (-torch.arange(128) / 128)
        time = self.linear(torch.cat([angle.cos(), angle.sin()]), "time_embedder.mlp.0")
        time = self.linear(F.silu(time), "time_embedder.mlp.2")
        table = self.once((side, hidden), lambda: self.table(side, hidden))
        return self.linear(tokens, "vae2llm") + time + table[ids]

    def words(self, ids: Sequence[int]) -> Tensor:
        return self.w["language_model.model.embed_tokens.weight"][list(ids)]

    def tokens_of(self, grid: Tensor) -> Tensor:
        p = self.c.latent_patch_size
        squares = [
            grid[:, r : r + p, s : s + p].permute(1, 2, 0).reshape(-1)
            for r in range(0, grid.shape[1], p)
            for s in range(0, grid.shape[2], p)
        ]
        return torch.stack(squares)

    def run(
        self, segments: Segments, query: tuple[Tensor, int, float] | None, text: Sequence[int]
    ) -> Tensor:
        """Everything from the start, every time; hidden states of all tokens after the final norm.

        After the segments comes either a picture being drawn (tokens, columns, t) or an open text.
        """
        special = self.c.tokens
        x, rope, split, gen, full = [], [], [], [], []
        now = 0

        def add(tokens: Tensor, ids: Sequence[int], number: int, is_gen: bool, is_full: bool):
            x.append(tokens)
            rope.extend(ids)
            split.extend([number] * len(tokens))
            gen.extend([is_gen] * len(tokens))
            full.extend([is_full] * len(tokens))

        def add_picture(tokens: Tensor, number: int, is_gen: bool):
            for part, drawn in (
                (self.words([special.start_of_image]), False),
                (tokens, is_gen),
                (self.words([special.end_of_image]), False),
            ):
                add(part, [now] * len(part), number, drawn, True)

        for number, (kind, value) in enumerate(segments):
            if kind == "text":
                ids = [special.bos, *value, special.eos]
                add(self.words(ids), range(now, now + len(ids)), number, False, False)
                now += len(ids)
                continue
            if kind == "vit":
                seen, _ = self.once(id(value), lambda v=value: (self.see(v), v))
                add_picture(seen, number, False)
            else:
                columns = value.shape[2] // self.c.latent_patch_size
                add_picture(self.latents(self.tokens_of(value), columns, 0.0), number, True)
            now += 1
        if query is not None:
            add_picture(self.latents(*query), -1, True)
        if text:
            add(self.words(text), range(now, now + len(text)), -1, False, False)
        number = torch.tensor(split)
        mask = torch.ones(len(split), len(split), dtype=torch.bool).tril()
        mask |= (number[:, None] == number) & torch.tensor(full)[:, None]
        return self.decoder(torch.cat(x), torch.tensor(rope), mask, torch.tensor(gen))

    def decoder(self, x: Tensor, rope: Tensor, mask: Tensor, gen: Tensor) -> Tensor:
        llm = self.c.llm
        i = torch.arange(0, llm.head_dim, 2)
        angle = rope[:, None] * llm.rope_theta ** (-i / llm.head_dim)
        cos, sin = (torch.cat([f(angle), f(angle)], -1)[:, None] for f in (torch.cos, torch.sin))

        def routed(x: Tensor, f: Any) -> Tensor:
            """f with the reading weights, and where `gen` with the drawing ones."""
            und = f(x[~gen], "")
            out = und.new_empty(len(x), *und.shape[1:])
            out[~gen] = und
            if gen.any():
                out[gen] = f(x[gen], "_moe_gen")
            return out

        def norm(x: Tensor, name: str) -> Tensor:
            return x / (x.pow(2).mean(-1, keepdim=True) + llm.rms_eps).sqrt() * self.w[name]

        def heads(x: Tensor, attn: str, which: str, count: int) -> Tensor:
            x = routed(x, lambda x, e: self.linear(x, f"{attn}{which}_proj{e}"))
            return x.view(len(x), count, llm.head_dim)

        def turned(x: Tensor, attn: str, which: str) -> Tensor:
            x = routed(x, lambda x, e: norm(x, f"{attn}{which}_norm{e}.weight"))
            a, b = x.chunk(2, -1)
            return x * cos + torch.cat([-b, a], -1) * sin

        for number in range(llm.layers):
            layer = f"language_model.model.layers.{number}."
            attn = layer + "self_attn."
            y = routed(x, lambda x, e, at=layer: norm(x, f"{at}input_layernorm{e}.weight"))
            q = turned(heads(y, attn, "q", llm.heads), attn, "q")
            k = turned(heads(y, attn, "k", llm.kv_heads), attn, "k")
            v = heads(y, attn, "v", llm.kv_heads)
            k, v = (z.repeat_interleave(llm.heads // llm.kv_heads, 1) for z in (k, v))
            q, k, v = (z.transpose(0, 1)[None] for z in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, mask)[0].transpose(0, 1).flatten(1)
            x = x + routed(y, lambda y, e, a=attn: self.linear(y, f"{a}o_proj{e}"))
            y = routed(
                x, lambda x, e, at=layer: norm(x, f"{at}post_attention_layernorm{e}.weight")
            )

            def mlp(y: Tensor, e: str, at: str = layer) -> Tensor:
                gate = F.silu(self.linear(y, f"{at}mlp{e}.gate_proj"))
                return self.linear(
                    gate * self.linear(y, f"{at}mlp{e}.up_proj"), f"{at}mlp{e}.down_proj"
                )

            x = x + routed(y, mlp)
        return routed(x, lambda x, e: norm(x, f"language_model.model.norm{e}.weight"))

    @torch.no_grad()
    def logits(self, segments: Segments, text: Sequence[int]) -> Tensor:
        """What follows every id of an open text (bos included) after the segments."""
        return self.linear(self.run(segments, None, text)[-len(text) :], "language_model.lm_head")

    @torch.no_grad()
    def velocity(self, segments: Segments, x: Tensor, columns: int, t: float) -> Tensor:
        return self.linear(self.run(segments, (x, columns, t), ())[-len(x) - 1 : -1], "llm2vae")

    def greedy(self, segments: Segments, length: int, end: int) -> list[int]:
        ids = [self.c.tokens.bos]
        while len(ids) < length:
            word = int(self.logits(segments, ids)[-1].argmax())
            if word == end:
                break
            ids.append(word)
        return ids

    def draw(
        self,
        main: Segments,
        cfg_text: Segments,
        cfg_img: Segments,
        x: Tensor,
        columns: int,
        points: int,
        shift: float,
        text_scale: float,
        image_scale: float,
    ) -> Tensor:
        """Guided everywhere, shrunk per token before the image guidance (`text_channel`)."""
        times = [shift * t / (1 + (shift - 1) * t) for t in torch.linspace(1, 0, points).tolist()]
        for t, following in itertools.pairwise(times):
            v = self.velocity(main, x, columns, t)
            v_text = self.velocity(cfg_text, x, columns, t)
            g = v_text + text_scale * (v - v_text)
            g = g * (v.norm(dim=-1, keepdim=True) / g.norm(dim=-1, keepdim=True)).clamp(0, 1)
            if image_scale > 1:
                v_img = self.velocity(cfg_img, x, columns, t)
                g = v_img + image_scale * (g - v_img)
            x = x - g * (t - following)
        return x

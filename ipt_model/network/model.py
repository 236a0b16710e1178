"""BAGEL as a transformers model: reads text and pictures, writes text, and gives the flow's
velocity.

Parameter names are exactly those of the released checkpoint. This module turns ids, pixels and
latents into tokens, runs the decoder and reads its two heads; what attends to what is decided by
its callers (`context` and `flow` for inference, `packing` for training).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from . import attention
from .config import BagelConfig
from .embeddings import PositionTable, TimeEmbedder, rotary
from .layers import Decoder, LanguageModel, RmsNorm
from .packing import PackedBatch
from .vision import Added, Connector, VisionEncoder, picture_tokens


@dataclass
class TrainingOutput(ModelOutput):
    """Unreduced losses, each with the place of every entry.

    ce [n]: cross-entropy in nats; ce_labels [n]; ce_positions [n]: index of the predicting token
    in the concatenation of the samples. mse [m, latent numbers]: squared velocity error;
    mse_positions [m].
    last_hidden [tokens, hidden]: decoder output of all tokens, concatenated; read [r, hidden]:
    of chosen reading tokens; only when asked for.
    """

    ce: Tensor | None = None
    ce_labels: Tensor | None = None
    ce_positions: Tensor | None = None
    mse: Tensor | None = None
    mse_positions: Tensor | None = None
    last_hidden: Tensor | None = None
    read: Tensor | None = None


class BagelModel(PreTrainedModel):
    """The unified model without its VAE. `config.visual_gen=False` builds the reading half
    alone."""

    config: BagelConfig
    config_class = BagelConfig
    base_model_prefix = ""
    main_input_name = "batch"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = {"MotLayer", "VitLayer"}  # noqa: RUF012 (transformers wants an attribute)

    def __init__(self, config: BagelConfig) -> None:
        super().__init__(config)
        llm, vit = config.llm, config.vit
        self.language_model = LanguageModel(llm, config.visual_gen)
        self.vit_model = VisionEncoder(vit)
        self.connector = Connector(vit.hidden, llm.hidden, config.connector_act)
        self.vit_pos_embed = PositionTable(vit.side, llm.hidden)
        if config.visual_gen:
            self.time_embedder = TimeEmbedder(llm.hidden)
            self.vae2llm = nn.Linear(config.latent_numbers, llm.hidden)
            self.llm2vae = nn.Linear(llm.hidden, config.latent_numbers)
            self.latent_pos_embed = PositionTable(config.max_latent_size, llm.hidden)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Values before any training; the velocity head starts at zero as the released model's
        did, and what is added to the released architecture adds nothing yet."""
        if isinstance(module, Added):
            nn.init.zeros_(module.weight)
            _zero_bias(module)
        elif isinstance(module, PositionTable):
            module.reset()
        elif isinstance(module, RmsNorm | nn.LayerNorm):
            nn.init.ones_(module.weight)
            _zero_bias(module)
        elif isinstance(module, nn.Linear | nn.Embedding):
            if self.config.visual_gen and module is self.llm2vae:
                nn.init.zeros_(module.weight)
            else:
                nn.init.normal_(
                    module.weight, std=self.config.llm_config.get("initializer_range", 0.02)
                )
            _zero_bias(module)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> BagelModel:
        """As transformers does it; a folder in the released layout is for `load_model`."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for module in model.modules():
            if isinstance(module, PositionTable):  # transformers makes every parameter trainable
                module.pos_embed.requires_grad_(False)
        return loaded

    # -- parts of transformers' interface
    def get_input_embeddings(self) -> nn.Embedding:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.decoder.add_module("embed_tokens", value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.lm_head

    # -- tokens in, numbers out
    @property
    def decoder(self) -> Decoder:
        return self.language_model.model

    def words(self, ids: Tensor) -> Tensor:
        """Ids [...] -> und tokens [..., hidden]."""
        return self.decoder.embed_tokens(ids)

    def look(self, pictures: Tensor) -> Tensor:
        """B x H x W x 3 uint8 at the ViT's size -> und tokens [B, patches, hidden]."""
        seen, ids = picture_tokens(self.vit_model, self.connector, self.config.vit, pictures)
        return seen + self.vit_pos_embed(ids)

    def latent_tokens(self, x: Tensor, time: Tensor, ids: Tensor) -> Tensor:
        """Latents [B, N, numbers], time embedding, position ids [N] or [B, N] -> gen tokens [B,
        N, hidden]."""
        self.require_drawing()
        return self.vae2llm(x.to(self.vae2llm.weight.dtype)) + time + self.latent_pos_embed(ids)

    def velocity(self, gen: Tensor) -> Tensor:
        return self.llm2vae(gen)

    def logits(self, und: Tensor) -> Tensor:
        return self.language_model.lm_head(und)

    def rotary(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Rope ids [B or 1, T or 1] -> cos, sin [B or 1, 1, T or 1, head_dim] as the layers take
        them."""
        llm = self.config.llm
        cos, sin = rotary(ids[:, None], llm.head_dim, llm.rope_theta, self.dtype)
        return cos, sin

    def require_drawing(self) -> None:
        """Raise when the weights that draw were left out."""
        if not self.config.visual_gen:
            raise RuntimeError(
                "this model was loaded for answering only; to draw or read latents load it "
                "with parts='all'"
            )

    # -- training
    def forward(
        self, batch: PackedBatch, *, hidden: bool = False, read: Tensor | None = None
    ) -> TrainingOutput:
        """Losses of a packed batch. hidden: adds the decoder output of all tokens. read: slots
        [r] of reading tokens (into B * U) whose decoder output is wanted, which costs less."""
        und, gen = self._embed(batch)
        cos, sin = self.rotary(batch.rope)
        mask = batch.mask()

        def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attention.masked(q, k, v, mask)

        out = TrainingOutput()
        rows = batch.ce_slots, batch.mse_slots
        if read is not None:
            both = [read] if batch.ce_slots is None else [batch.ce_slots, read]
            rows = torch.cat(both), batch.mse_slots
        if hidden:
            und, gen = self.decoder(und, gen, cos, sin, attend)
            out["last_hidden"] = batch.concatenate(und, gen)
            und = None if und is None or rows[0] is None else und.flatten(0, 1)[rows[0]]
            gen = None if gen is None or rows[1] is None else gen.flatten(0, 1)[rows[1]]
        else:
            und, gen = self.decoder(und, gen, cos, sin, attend, *rows)
        if und is not None and read is not None:
            und, out["read"] = und.split([len(und) - len(read), len(read)])
        if und is not None and batch.ce_slots is not None and batch.ce_labels is not None:
            scores = self.logits(und).float()
            out["ce"] = F.cross_entropy(scores, batch.ce_labels, reduction="none")
            out["ce_labels"] = batch.ce_labels
            out["ce_positions"] = batch.ce_positions
        if gen is not None and rows[1] is not None:
            out["mse"] = (self.velocity(gen).float() - batch.mse_targets()) ** 2
            out["mse_positions"] = batch.mse_positions
        return out

    def _embed(self, batch: PackedBatch) -> tuple[Tensor | None, Tensor | None]:
        und = gen = None
        if batch.und_ids is not None:
            und = self.words(batch.und_ids)
            if batch.vit_slots is not None:
                seen = [self.look(pictures).flatten(0, 1) for pictures in batch.vit_pictures]
                flat = und.flatten(0, 1)
                tokens = torch.cat(seen).to(flat.dtype)
                und = flat.index_copy(0, batch.vit_slots, tokens).view_as(und)
        if batch.latents is not None and batch.latent_ids is not None:
            time = self.time_embedder(batch.times)[batch.time_index]
            gen = self.latent_tokens(batch.noised(), time, batch.latent_ids)
        return und, gen


def _zero_bias(module: nn.Module) -> None:
    bias = getattr(module, "bias", None)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)

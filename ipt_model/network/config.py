"""Every dimension of the model, read from the files a released checkpoint folder holds.

`BagelConfig` is what transformers saves and loads; the frozen dataclasses behind `.llm`, `.vit`,
`.vae` and `.tokens` are what the layers are built from, so that nothing below the model needs
transformers. Facts the files leave out (head norms on, embeddings untied, last ViT layer dropped)
are fixed here and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from ..tags import SpecialTokens

#: The released model's files say only what differs from these.
RELEASED_LLM = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "max_position_embeddings": 32768,
    "hidden_act": "silu",
}
RELEASED_VIT = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 980,
    "patch_size": 14,
    "num_channels": 3,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh",
}
RELEASED_VAE = {
    "downsample": 8,
    "z_channels": 16,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "scale_factor": 0.3611,
    "shift_factor": 0.1159,
}
#: Names of the four special tokens in the tokenizer, and their ids in the released vocabulary.
TOKEN_NAMES = {
    "bos": ("<|im_start|>", 151644),
    "eos": ("<|im_end|>", 151645),
    "start_of_image": ("<|vision_start|>", 151652),
    "end_of_image": ("<|vision_end|>", 151653),
}


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the entry, what it holds and what was
    expected."""


@dataclass(frozen=True)
class LlmShape:
    """The decoder: both experts of every layer have these dimensions."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    rms_eps: float
    rope_theta: float


@dataclass(frozen=True)
class VitShape:
    """The picture encoder. `layers` are those that run (the file counts one more); `side` is the
    side of the grid that position ids are counted on, `positions` the rows of the learned
    table. `detail`: channels of the first convolution beside the patch embedding, 0 as released.
    """

    hidden: int
    mlp: int
    layers: int
    heads: int
    patch: int
    channels: int
    positions: int
    side: int
    eps: float
    activation: str
    detail: int = 0

    @property
    def patch_numbers(self) -> int:
        return self.patch * self.patch * self.channels


@dataclass(frozen=True)
class VaeShape:
    """The picture autoencoder: `ch * m` channels at each level of `ch_mult`, each level but the
    last halves.

    norm_groups: of its group norms, 32 as released; 0 only scales and shifts channels. A narrow
    autoencoder needs that: norms take the brightness of a picture out of its few channels.
    """

    ch: int
    ch_mult: tuple[int, ...]
    res_blocks: int
    latent_channels: int
    downsample: int
    in_channels: int
    out_channels: int
    scale: float
    shift: float
    norm_groups: int = 32


class BagelConfig(PretrainedConfig):
    """Configuration of `BagelModel`; read a released folder with `from_folder`, our own with
    `from_pretrained`.

    llm_config, vit_config, vae_config: the dictionaries of the released files, kept as they are.
    special_tokens: ids under the keys bos, eos, start_of_image, end_of_image.
    visual_gen: False leaves out every weight that only drawing needs.
    """

    model_type = "bagel"

    def __init__(
        self,
        llm_config: dict[str, Any] | None = None,
        vit_config: dict[str, Any] | None = None,
        vae_config: dict[str, Any] | None = None,
        special_tokens: dict[str, int] | None = None,
        latent_patch_size: int = 2,
        max_latent_size: int = 64,
        vit_max_num_patch_per_side: int = 70,
        connector_act: str = "gelu_pytorch_tanh",
        interpolate_pos: bool = False,
        timestep_shift: float = 1.0,
        visual_gen: bool = True,
        visual_und: bool = True,
        **kwargs: Any,
    ) -> None:
        self.llm_config = {**RELEASED_LLM, **(llm_config or {})}
        self.vit_config = {**RELEASED_VIT, **(vit_config or {})}
        self.vae_config = {**RELEASED_VAE, **(vae_config or {})}
        self.special_tokens = special_tokens or {k: id for k, (_, id) in TOKEN_NAMES.items()}
        self.latent_patch_size = latent_patch_size
        self.max_latent_size = max_latent_size
        self.vit_max_num_patch_per_side = vit_max_num_patch_per_side
        self.connector_act = connector_act
        self.interpolate_pos = interpolate_pos
        self.timestep_shift = timestep_shift
        self.visual_gen = visual_gen
        self.visual_und = visual_und
        kwargs.pop(
            "tie_word_embeddings", None
        )  # the file may say anything: embeddings are not tied
        super().__init__(**kwargs)
        self.tie_word_embeddings = False
        self.check()

    @property
    def llm(self) -> LlmShape:
        c = self.llm_config
        heads = c["num_attention_heads"]
        rope = c.get("rope_parameters") or {}
        return LlmShape(
            hidden=c["hidden_size"],
            mlp=c["intermediate_size"],
            layers=c["num_hidden_layers"],
            heads=heads,
            kv_heads=c.get("num_key_value_heads") or heads,
            head_dim=c.get("head_dim") or c["hidden_size"] // heads,
            vocab=c["vocab_size"],
            rms_eps=c["rms_norm_eps"],
            rope_theta=float(rope.get("rope_theta", c["rope_theta"])),
        )

    @property
    def vit(self) -> VitShape:
        c = self.vit_config
        return VitShape(
            hidden=c["hidden_size"],
            mlp=c["intermediate_size"],
            layers=c["num_hidden_layers"] - 1,
            heads=c["num_attention_heads"],
            patch=c["patch_size"],
            channels=c["num_channels"],
            positions=(c["image_size"] // c["patch_size"]) ** 2,
            side=self.vit_max_num_patch_per_side,
            eps=c["layer_norm_eps"],
            activation=c["hidden_act"],
            detail=c.get("detail", 0),
        )

    @property
    def vae(self) -> VaeShape:
        c = self.vae_config
        return VaeShape(
            ch=c["ch"],
            ch_mult=tuple(c["ch_mult"]),
            res_blocks=c["num_res_blocks"],
            latent_channels=c["z_channels"],
            downsample=c["downsample"],
            in_channels=c["in_channels"],
            out_channels=c["out_ch"],
            scale=c["scale_factor"],
            shift=c["shift_factor"],
            norm_groups=c.get("norm_groups", 32),
        )

    @property
    def tokens(self) -> SpecialTokens:
        return SpecialTokens(**self.special_tokens)

    @property
    def latent_numbers(self) -> int:
        """Numbers in one latent token."""
        return int(self.vae_config["z_channels"] * self.latent_patch_size**2)

    @property
    def latent_stride(self) -> int:
        """Side in pixels of the square one latent token stands for."""
        return int(self.vae_config["downsample"] * self.latent_patch_size)

    # what accelerate, DeepSpeed and PEFT look for on any language model
    @property
    def hidden_size(self) -> int:
        return self.llm.hidden

    @property
    def vocab_size(self) -> int:
        return self.llm.vocab

    @property
    def num_hidden_layers(self) -> int:
        return self.llm.layers

    @property
    def num_attention_heads(self) -> int:
        return self.llm.heads

    def check(self) -> None:
        """Raise ConfigError for what this implementation does not do, rather than doing something
        else."""
        llm, vit, vae = self.llm, self.vit, self.vae
        if llm.heads % llm.kv_heads:
            raise ConfigError(
                f"llm_config: num_attention_heads {llm.heads} is no multiple of "
                f"num_key_value_heads {llm.kv_heads}"
            )
        if llm.head_dim % 2:
            raise ConfigError(
                f"llm_config: the rotary embedding needs an even head size, got {llm.head_dim}"
            )
        if llm.hidden % 4:
            raise ConfigError(
                f"llm_config: 2-D positions need hidden_size % 4 == 0, got {llm.hidden}"
            )
        if self.llm_config["hidden_act"] != "silu":
            raise ConfigError(
                f"llm_config: hidden_act {self.llm_config['hidden_act']!r}, expected 'silu'"
            )
        if self.llm_config.get("use_sliding_window"):
            raise ConfigError(
                "llm_config: use_sliding_window is on; only full attention is implemented"
            )
        if vit.layers < 1:
            raise ConfigError(
                "vit_config: num_hidden_layers counts one unused layer, so at least 2 expected"
            )
        if vit.hidden % vit.heads:
            raise ConfigError(
                f"vit_config: hidden_size {vit.hidden} is no multiple of {vit.heads} heads"
            )
        if self.vit_config.get("rope"):
            raise ConfigError("vit_config: rope is on; the released model runs without it")
        if self.interpolate_pos:
            raise ConfigError(
                "interpolate_pos is on; only the released table look-up is implemented"
            )
        if 2 ** (len(vae.ch_mult) - 1) != vae.downsample:
            raise ConfigError(
                f"vae_config: the {len(vae.ch_mult)} levels of ch_mult shrink "
                f"by {2 ** (len(vae.ch_mult) - 1)}, "
                f"but downsample says {vae.downsample}"
            )
        if set(self.special_tokens) != set(TOKEN_NAMES):
            raise ConfigError(
                f"special_tokens: expected the keys {sorted(TOKEN_NAMES)}, "
                f"got {sorted(self.special_tokens)}"
            )
        for name, id in self.special_tokens.items():
            if not 0 <= id < llm.vocab:
                raise ConfigError(
                    f"special_tokens: {name} = {id} lies outside the vocabulary of {llm.vocab}"
                )

    @classmethod
    def from_folder(cls, folder: str | Path) -> BagelConfig:
        """Read `config.json` with `llm_config.json`, `vit_config.json` and `special_tokens.json`
        where present.

        The two single files win over what config.json repeats. Without special_tokens.json the
        ids are those of the tokenizer files, and without these the released ones, if the
        vocabulary is the released one.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigError(f"{folder}: expected a checkpoint folder, found no such folder")
        data = _read(folder / "config.json") if (folder / "config.json").exists() else {}
        for part in ("llm_config", "vit_config"):
            if (folder / f"{part}.json").exists():
                data[part] = _read(folder / f"{part}.json")
            elif part not in data:
                raise ConfigError(f"{folder}: neither {part}.json nor a {part} in config.json")
        if (folder / "special_tokens.json").exists():
            data["special_tokens"] = _read(folder / "special_tokens.json")
        elif "special_tokens" not in data:
            vocab = {**RELEASED_LLM, **data["llm_config"]}["vocab_size"]
            data["special_tokens"] = special_ids(folder, vocab)
        return cls(**data)


def special_ids(folder: Path, vocab: int) -> dict[str, int]:
    """Ids of the four special tokens from whatever tokenizer files the folder holds."""
    known: dict[str, int] = {}
    if (folder / "tokenizer.json").exists():
        entries = _read(folder / "tokenizer.json").get("added_tokens", [])
        known.update({t["content"]: t["id"] for t in entries})
    if (folder / "tokenizer_config.json").exists():
        entries = _read(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
        known.update({t["content"]: int(id) for id, t in entries.items()})
    if (folder / "added_tokens.json").exists():
        known.update(_read(folder / "added_tokens.json"))
    if not known and vocab == RELEASED_LLM["vocab_size"]:
        return {name: id for name, (_, id) in TOKEN_NAMES.items()}
    missing = [token for token, _ in TOKEN_NAMES.values() if token not in known]
    if missing:
        raise ConfigError(
            f"{folder}: no id found for {', '.join(missing)}; add a special_tokens.json "
            f"with the keys {', '.join(TOKEN_NAMES)}"
        )
    return {name: known[token] for name, (token, _) in TOKEN_NAMES.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: expected JSON, {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a JSON object, found a {type(data).__name__}")
    return data

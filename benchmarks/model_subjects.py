"""The configurations whose speed is measured, from a tiny one to the released one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

TOKENS = {"bos": 0, "eos": 1, "start_of_image": 2, "end_of_image": 3}


@dataclass(frozen=True)
class Subject:
    """A configuration to measure. sides: pixels of the square pictures read and drawn."""

    name: str
    config: dict[str, Any]
    sides: tuple[int, ...]
    points: tuple[int, ...]
    plain: bool = False
    dtype: str = "float32"
    quantization: str | None = None


def subject_config(
    hidden: int,
    layers: int,
    mlp: int,
    heads: int,
    kv: int,
    vocab: int,
    vit: int,
    ch: int,
    side: int,
) -> dict[str, Any]:
    """A configuration between the shipped tiny one and the released one."""
    return {
        "llm_config": {
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "intermediate_size": mlp,
            "num_attention_heads": heads,
            "num_key_value_heads": kv,
            "vocab_size": vocab,
        },
        "vit_config": {
            "hidden_size": vit,
            "intermediate_size": 3 * vit,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "image_size": side,
            "patch_size": 8,
        },
        "vae_config": {"ch": ch, "ch_mult": [1, 2, 2, 2], "num_res_blocks": 1},
        "special_tokens": TOKENS,
        "max_latent_size": side // 16,
        "vit_max_num_patch_per_side": side // 8,
    }


CPU = (
    Subject("tiny", subject_config(64, 2, 128, 4, 2, 512, 64, 32, 128), (64, 128), (11,), True),
    Subject(
        "small", subject_config(256, 8, 512, 8, 4, 1280, 128, 32, 128), (64, 128), (11,), True
    ),
    Subject("100m", subject_config(640, 10, 1664, 10, 5, 4096, 256, 64, 256), (128, 256), (6,)),
)
RELEASED = Subject("7b", {}, (256, 512, 1024), (25, 50), dtype="bfloat16")
CUDA = (
    *CPU,
    RELEASED,
    replace(RELEASED, name="7b-int8", quantization="int8"),
    replace(RELEASED, name="7b-int4", quantization="int4"),
)

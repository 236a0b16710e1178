"""Settings of the small models that come with the package, a folder each: all but the weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def preset_folder(name: str) -> Path:
    """The folder with a preset's `config.json`, `ipt.json` and tokenizer."""
    presets = Path(str(files("ipt_model.weights.presets")))
    known = {p.parent.name: p.parent for p in sorted(presets.glob("*/config.json"))}
    if name not in known:
        raise FileNotFoundError(f"preset {name!r}: expected one of {list(known)}")
    return known[name]

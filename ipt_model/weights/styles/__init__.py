"""Asking styles by name: what a family of checkpoints must be asked with, as data files.

A style file holds some entries of an `ipt.json`; what it does not hold stays as the checkpoint has
it. The published system prompts are texts of others: they are read from a person's own copy of the
public repository and never kept here.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..asking_style import AskingStyle, AskingStyleError, merged

#: Constants that hold the two prompts in the public repository's files, the trainer's first.
THINK_NAMES = ("VLM_THINK", "VLM_THINK_SYSTEM_PROMPT")
ANSWER_NAMES = ("ANSWER_ONLY", "ANSWER_ONLY_SYSTEM_PROMPT", "VLM_ANSWER_ONLY")
#: Where they stand.
WHERE = "scripts/prepare_datasets.py and vlmeval/vlm/thinkmorph/inferencer.py"


def style_names() -> list[str]:
    """The styles that come with the package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.json"))


def read_style(name: str | Path) -> dict[str, Any]:
    """A style by name, or from a JSON file of entries."""
    own = Path(__file__).parent / f"{name}.json"
    path = own if str(name) in style_names() else Path(name).expanduser()
    if not path.is_file():
        raise AskingStyleError(
            f"style {str(name)!r}: expected one of {style_names()} or a JSON file"
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AskingStyleError(f"style {path}: not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise AskingStyleError(f"style {path}: expected an object of entries of an ipt.json")
    return entries


def with_entries(style: AskingStyle, entries: Mapping[str, Any]) -> AskingStyle:
    """The style with these entries in place of its own. Picture sizes stay within those that it
    has, which the model's tables allow; the name of a style is no name of a model."""
    own = style.to_dict()
    sizes = {k: dict(v) for k, v in dict(entries.get("image_sizes", {})).items()}
    for kind, rule in sizes.items():
        limit = own["image_sizes"].get(kind, {})
        for entry in ("max_size", "min_size"):
            if entry in rule and entry in limit:
                rule[entry] = min(rule[entry], limit[entry])
    changes = {k: v for k, v in entries.items() if k != "model_id"}
    return AskingStyle.from_dict(merged(own, {**changes, "image_sizes": sizes}))


def warn_of_prompts(style: AskingStyle) -> None:
    """Say once, in words, that a checkpoint is asked with other words than it was tuned on."""
    if style.prompt.published and style.prompt.system_think is None:
        warnings.warn(
            f"{style.model_id}: tuned on the published system prompts, but asked with this "
            "package's own words for them: answers will be worse. `ipt-style import` reads the "
            f"prompts from your clone of the public repository ({WHERE})",
            stacklevel=2,
        )


def published_prompts(files: Sequence[str | Path]) -> dict[str, str]:
    """`system_think` and `system_answer`, as far as constants of these Python files hold them.
    Nothing is executed."""
    constants: dict[str, str] = {}
    for file in files:
        path = Path(file).expanduser()
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise AskingStyleError(f"{path}: cannot be read as Python: {error}") from error
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                targets = [t.id for t in node.targets if isinstance(t, ast.Name)]
                if isinstance(node.value.value, str):
                    constants.update(dict.fromkeys(targets, node.value.value))
    found = {}
    for entry, names in (("system_think", THINK_NAMES), ("system_answer", ANSWER_NAMES)):
        for name in names:
            if name in constants and entry not in found:
                text = constants[name]
                # the question follows on a line of its own
                found[entry] = text if text.endswith("\n") else text + "\n"
    if "system_think" not in found:
        raise AskingStyleError(
            f"{', '.join(map(str, files))}: expected a text constant {' or '.join(THINK_NAMES)}, "
            f"found {sorted(constants) or 'no text constants'}; the prompts stand in {WHERE}"
        )
    return found

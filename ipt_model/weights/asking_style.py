"""What a checkpoint must be asked with: `ipt.json`, kept beside its weights.

Prompt, sizes and layout of pictures, which encodings the inputs get, flow defaults, calibration
and how it was trained. A folder without the file is taken for a plain BAGEL-7B-MoT, for which the
defaults here are right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..inference.flow import FlowSettings
from ..network.transforms import ImageSizes
from ..question import Mode, Task
from ..spatial.picture_geometry import PictureGeometry
from ..wording.prompts import PromptStyle

FILE_NAME = "ipt.json"
#: Where one class of how much of the asked view was seen ends and the next begins.
SEEN_EDGES = (0.25, 0.5, 0.75)


def seen_class(share_seen: float) -> int:
    """0 to 3: which quarter of the view's share that was seen."""
    return sum(share_seen >= edge for edge in SEEN_EDGES)


def seen_words(share_seen: float) -> str:
    """The class in words; in order when sorted."""
    edges, own = (0.0, *SEEN_EDGES, 1.0), seen_class(share_seen)
    return f"{100 * edges[own]:.0f} to {100 * edges[own + 1]:.0f} %"


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Entries with others laid over them: sections entry by entry, anything else replaced."""
    out = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if both else value
    return out


class AskingStyleError(ValueError):
    """An `ipt.json` that cannot be used; the message names the entry and what was expected."""


@dataclass(frozen=True)
class InputEncodings:
    """Which pictures enter as VAE tokens, ViT tokens or both.

    answer, imagine: the input pictures without and with a drawing. given: the true view in mode
        GIVEN; the published oracle used the VAE alone although training shows both, so both is the
        default.
    """

    answer: tuple[str, ...] = ("vit",)
    imagine: tuple[str, ...] = ("vae", "vit")
    given: tuple[str, ...] = ("vae", "vit")

    def __post_init__(self) -> None:
        for name in ("answer", "imagine", "given"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if value not in (("vit",), ("vae",), ("vae", "vit")):
                raise AskingStyleError(
                    f"inputs.{name}: expected ['vit'], ['vae'] or ['vae', 'vit'], "
                    f"got {list(value)}"
                )


#: Entries that rank modes by task.
_ORDERS = ("auto_by_task", "auto_remembering")


@dataclass(frozen=True)
class AskingStyle:
    """Everything but the weights. The defaults suit BAGEL-7B-MoT as released.

    pictures: how maps and frames are laid out in the questions that the checkpoint was trained on.
    rests_on_view: tasks whose answer after a drawn or shown view is read from that view and the
        question's words alone. The input pictures are kept from it.
    auto: the modes that AUTO tries, best first, as validation ranked them; auto_by_task: the same
        for tasks where that is known; auto_remembering: for their questions with a recalled view.
    recall_above: where at least this share of the asked view was seen, AUTO reads the answer from
        the recalled view before it tries those modes; by task, never for a task that is missing.
    temperature: divides the option log-probabilities before they are normalised; by task and mode,
        found on validation data, 1 where missing. temperature_by_seen: by task, mode and
        `seen_class`, a number for each; goes before `temperature` where it is not None.
    max_think_tokens, max_answer_tokens: where writing is cut off.
    text_temperature: words are the likeliest at 0; above, they are chosen by chance, by logits
        divided by it.
    training: free facts on how the weights were made, for the model card.
    """

    model_id: str = ""
    prompt: PromptStyle = field(default_factory=PromptStyle)
    image_sizes: ImageSizes = field(default_factory=ImageSizes)
    pictures: PictureGeometry = field(default_factory=PictureGeometry)
    inputs: InputEncodings = field(default_factory=InputEncodings)
    flow: FlowSettings = field(default_factory=FlowSettings)
    rests_on_view: tuple[Task, ...] = ()
    auto: tuple[Mode, ...] = (Mode.IMAGINE, Mode.ANSWER)
    auto_by_task: Mapping[Task, tuple[Mode, ...]] = field(default_factory=dict)
    auto_remembering: Mapping[Task, tuple[Mode, ...]] = field(default_factory=dict)
    recall_above: Mapping[Task, float] = field(default_factory=dict)
    temperature: Mapping[Task, Mapping[Mode, float]] = field(default_factory=dict)
    temperature_by_seen: Mapping[Task, Mapping[Mode, tuple[float | None, ...]]] = field(
        default_factory=dict
    )
    max_think_tokens: int = 1024
    max_answer_tokens: int = 1024
    text_temperature: float = 0.0
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.flow.min_steps <= self.flow.steps:
            raise AskingStyleError(
                "flow: expected 1 <= min_steps <= points - 1, "
                f"got {self.flow.min_steps} and {self.flow.points}"
            )
        if not 0 <= self.text_temperature <= 2:
            raise AskingStyleError(
                f"text_temperature: expected 0 to 2, got {self.text_temperature}"
            )
        by_task = {
            f"{name}.{task.value}": modes
            for name in _ORDERS
            for task, modes in getattr(self, name).items()
        }
        for name, modes in {"auto": self.auto, **by_task}.items():
            if not modes or not set(modes) <= {Mode.IMAGINE, Mode.ANSWER}:
                raise AskingStyleError(
                    f"{name}: expected imagine and/or answer, got {list(modes)}"
                )
        for task, of_task in self.temperature.items():
            for mode, value in of_task.items():
                if not value > 0:
                    name = f"temperature.{task.value}.{mode.value}"
                    raise AskingStyleError(f"{name}: expected > 0, got {value}")
        for task, by_mode in self.temperature_by_seen.items():
            for mode, values in by_mode.items():
                name = f"temperature_by_seen.{task.value}.{mode.value}"
                if len(values) != len(SEEN_EDGES) + 1:
                    raise AskingStyleError(
                        f"{name}: expected {len(SEEN_EDGES) + 1} numbers, one for each part of "
                        f"the share seen that {list(SEEN_EDGES)} divide, got {list(values)}"
                    )
                if not all(value is None or value > 0 for value in values):
                    raise AskingStyleError(f"{name}: expected > 0 or null, got {list(values)}")
        for task, share in self.recall_above.items():
            if not 0 <= share <= 1:
                raise AskingStyleError(f"recall_above.{task.value}: expected 0 to 1, got {share}")

    def preferred(self, task: Task, share_seen: float | None = None) -> tuple[Mode, ...]:
        """The modes that AUTO tries for such a question, best first. share_seen: of the asked
        view, None where nothing is recalled. Of a view that shows nothing nothing is read."""
        modes = self.auto_by_task.get(task, self.auto)
        if share_seen is None:
            return modes
        modes = self.auto_remembering.get(task, modes)
        enough = self.recall_above.get(task)
        shown = enough is not None and share_seen >= enough and share_seen > 0
        return (Mode.RECALL, *modes) if shown else modes

    def temperature_of(self, task: Task, mode: Mode, share_seen: float | None = None) -> float:
        """What divides the option scores of such a question reached in such a way."""
        if share_seen is not None:
            own = self.temperature_by_seen.get(task, {}).get(mode)
            found = own[seen_class(share_seen)] if own else None
            if found is not None:
                return found
        return self.temperature.get(task, {}).get(mode, 1.0)

    @staticmethod
    def load(folder: str | Path) -> AskingStyle:
        """From a checkpoint folder; the defaults, named after the folder, when it has no
        `ipt.json`.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            return AskingStyle(model_id=Path(folder).resolve().name)
        try:
            return AskingStyle.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise AskingStyleError(f"{path}: {error}") from error

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> AskingStyle:
        """Read what `to_dict` wrote; unknown names are an error, missing ones keep the default."""
        known = {f.name for f in fields(AskingStyle)}
        if unknown := sorted(set(data) - known):
            raise AskingStyleError(f"unknown entries {unknown}, expected some of {sorted(known)}")
        given = dict(data)
        if "flow" in given:
            flow = dict(given["flow"])
            if "interval" in flow:
                flow["interval"] = tuple(flow["interval"])
            try:
                given["flow"] = FlowSettings(**flow)
            except ValueError as error:
                raise AskingStyleError(f"flow.{error}") from error
        if "prompt" in given:
            given["prompt"] = PromptStyle.from_dict(given["prompt"])
        if "image_sizes" in given:
            given["image_sizes"] = ImageSizes.from_dict(given["image_sizes"])
        if "pictures" in given:
            try:
                given["pictures"] = PictureGeometry.from_dict(given["pictures"])
            except ValueError as error:
                raise AskingStyleError(f"pictures.{error}") from error
        if "inputs" in given:
            given["inputs"] = InputEncodings(**given["inputs"])
        if "rests_on_view" in given:
            given["rests_on_view"] = tuple(Task(t) for t in given["rests_on_view"])
        if "auto" in given:
            given["auto"] = tuple(Mode(m) for m in given["auto"])
        for name in _ORDERS:
            if name in given:
                given[name] = {
                    Task(task): tuple(Mode(m) for m in modes)
                    for task, modes in given[name].items()
                }
        if "recall_above" in given:
            given["recall_above"] = {Task(t): float(v) for t, v in given["recall_above"].items()}
        if "temperature_by_seen" in given:
            given["temperature_by_seen"] = {
                Task(task): {
                    Mode(mode): tuple(None if v is None else float(v) for v in values)
                    for mode, values in modes.items()
                }
                for task, modes in given["temperature_by_seen"].items()
            }
        if "temperature" in given:
            given["temperature"] = {
                Task(task): {Mode(mode): float(v) for mode, v in modes.items()}
                for task, modes in given["temperature"].items()
            }
        return replace(AskingStyle(), **given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model_id": self.model_id,
            "prompt": self.prompt.to_dict(),
            "image_sizes": self.image_sizes.to_dict(),
            "pictures": self.pictures.to_dict(),
            "inputs": {k: list(v) for k, v in asdict(self.inputs).items()},
            "flow": {**asdict(self.flow), "interval": list(self.flow.interval)},
            "rests_on_view": [task.value for task in self.rests_on_view],
            "auto": [m.value for m in self.auto],
            **{
                name: {
                    task.value: [m.value for m in modes]
                    for task, modes in getattr(self, name).items()
                }
                for name in _ORDERS
            },
            "recall_above": {task.value: share for task, share in self.recall_above.items()},
            "temperature": {
                task.value: {mode.value: v for mode, v in modes.items()}
                for task, modes in self.temperature.items()
            },
            "temperature_by_seen": {
                task.value: {mode.value: list(values) for mode, values in modes.items()}
                for task, modes in self.temperature_by_seen.items()
            },
            "max_think_tokens": self.max_think_tokens,
            "max_answer_tokens": self.max_answer_tokens,
            "text_temperature": self.text_temperature,
            "training": dict(self.training),
        }

    def save(self, folder: str | Path) -> None:
        """Write `ipt.json` into the folder."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (Path(folder) / FILE_NAME).write_text(text, encoding="utf-8")

"""From a name or folder to everything an answer needs: model, VAE, tokenizer, asking style, hash.

Names are the models that come with the package; anything else is a folder in the released layout.
What does not fit together (a tokenizer of another vocabulary, picture sizes beyond the position
tables) is refused here, with the entry that is wrong, before a question meets it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import torch

from ..network.config import BagelConfig
from ..network.model import BagelModel
from ..network.transforms import ImageSizes
from ..network.vae import LatentCodec
from ..wording.tokenizer import Tokenizer, TokenizerError
from .asking_style import FILE_NAME, AskingStyle, AskingStyleError
from .checkpoint import MODEL_STEMS, Parts, load_codec, load_model, model_entries
from .presets import preset_folder
from .quantize import Scheme, quantize
from .styles import read_style, warn_of_prompts, with_entries

#: The shipped small model's architecture with seeded random weights: it draws and answers noise.
UNTRAINED = "ipt-tiny-untrained"
#: Files up to this many bytes are hashed whole; of larger ones, evenly spaced samples.
HASHED_WHOLE = 1 << 29
_SAMPLES, _SAMPLE = 256, 1 << 16


class ModelNotFoundError(FileNotFoundError):
    """Neither a shipped model nor a folder with weights; the message lists what can be loaded."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be asked. codec: None when only the answering half was loaded."""

    model: BagelModel
    codec: LatentCodec | None
    tokenizer: Tokenizer
    style: AskingStyle
    model_hash: str
    device: torch.device


def load(
    name: str | Path,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    quantization: Scheme | None = None,
    parts: Parts = "all",
    style: str | Path | None = None,
    weights: str = "",
) -> LoadedModel:
    """Load a shipped model by name or a checkpoint folder; see `Imaginer.from_pretrained`."""
    target = pick_device(device)
    if str(name) == UNTRAINED:
        folder = preset_folder("ipt_tiny")
        codec: LatentCodec | None
        model, codec, own, model_hash = _untrained(folder)
        assert codec is not None
        numbers = pick_dtype(dtype, target, 0)
        model.to(dtype=numbers)  # type: ignore[call-arg]
        codec = codec.to(target, numbers).eval()
    else:
        folder = find_folder(name)
        own = AskingStyle.load(folder)
        entries = model_entries(folder, weights)
        size = sum(4 * (e.end - e.begin) // e.dtype.itemsize for e in entries.values())
        numbers = pick_dtype(dtype, target, size)
        # A model to be quantised passes through host memory: the device might not hold it whole.
        model = load_model(
            folder, "cpu" if quantization else target, numbers, parts, weights=weights
        )
        codec = load_codec(folder, model.config, target, numbers) if parts == "all" else None
        if not (folder / FILE_NAME).is_file():
            own = replace(own, image_sizes=sizes_of_tables(model.config))
        model_hash = hash_folder(folder, weights)
    if style is not None:
        own = with_entries(own, read_style(style))
    warn_of_prompts(own)
    if quantization is not None:
        quantize(model, quantization, target)
    model.to(target).eval()  # type: ignore[arg-type]
    tokenizer = Tokenizer.load(folder)
    check(model.config, tokenizer, own, parts, str(folder))
    return LoadedModel(
        model, codec if parts == "all" else None, tokenizer, own, model_hash, target
    )


def find_folder(name: str | Path) -> Path:
    """The folder of a shipped model or of weights on disk.

    Only the names of shipped models may be written with `-` or `_`; everything else is a path and
    means that folder and no other.
    """
    shipped = Path(str(files("ipt_model") / "weights"))
    by_name = {p.parent.name.replace("_", "-"): p.parent for p in shipped.glob("*/config.json")}
    if found := by_name.get(str(name).replace("_", "-")):
        return found
    # an empty path would be the folder that the program was started in
    if str(name).strip() and (folder := Path(name).expanduser()).is_dir():
        return folder
    raise ModelNotFoundError(
        f"model {str(name)!r}: expected a folder with ema.safetensors, or one of "
        f"{[UNTRAINED, *sorted(by_name)]}"
    )


def pick_device(device: str) -> torch.device:
    """`auto` is the first CUDA device, else Apple's, else the CPU."""
    if device != "auto":
        try:
            found = torch.device(device)
        except RuntimeError as error:
            raise ValueError(
                f"device: expected auto, cpu, cuda or cuda:N, got {device!r}"
            ) from error
        if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"device: {device!r} is not there, torch sees {torch.cuda.device_count()} CUDA "
                "devices"
            )
        return found
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(dtype: str | torch.dtype, device: torch.device, float32_bytes: int) -> torch.dtype:
    """`auto` is bfloat16, but float32 on a CPU for models that take less than 4 GB in it."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        small = device.type == "cpu" and float32_bytes < 4e9
        return torch.float32 if small else torch.bfloat16
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype: expected auto, float32, bfloat16 or float16, got {dtype!r}")
    return found


def sizes_of_tables(config: BagelConfig) -> ImageSizes:
    """Size rules in the released proportions, up to what the position tables hold.

    The released tables give the released rules: 512 to 1024 and 224 to 980.
    """
    released = ImageSizes()
    rules = []
    for rule, side, stride in (
        (released.vae, config.max_latent_size, config.latent_stride),
        (released.vit, config.vit.side, config.vit.patch),
    ):
        largest = side * stride
        smallest = max(stride, round(largest * rule.min_size / rule.max_size / stride) * stride)
        rules.append(replace(rule, max_size=largest, min_size=smallest, stride=stride))
    return ImageSizes(*rules)


def check(
    config: BagelConfig, tokenizer: Tokenizer, style: AskingStyle, parts: Parts, where: str
) -> None:
    """Raise unless tokenizer and asking style belong to this model."""
    ids = vars(config.tokens)
    if vars(tokenizer.special) != ids or len(tokenizer) > config.llm.vocab:
        raise TokenizerError(
            f"{where}: the tokenizer has {len(tokenizer)} ids and controls "
            f"{vars(tokenizer.special)}, "
            f"the model expects at most {config.llm.vocab} and {ids}; is it another model's?"
        )
    for name, rule, side, stride in (
        ("vae", style.image_sizes.vae, config.max_latent_size, config.latent_stride),
        ("vit", style.image_sizes.vit, config.vit.side, config.vit.patch),
    ):
        if rule.stride != stride or rule.max_size > side * stride or rule.max_size % stride:
            raise AskingStyleError(
                f"{where}/{FILE_NAME}: image_sizes.{name} has stride {rule.stride} and max_size "
                f"{rule.max_size}, the model needs stride {stride} and a multiple of it up to "
                f"{side * stride}"
            )
    if parts == "answer" and "vae" in style.inputs.answer:
        raise AskingStyleError(
            f"{where}/{FILE_NAME}: inputs.answer is {list(style.inputs.answer)}, but VAE tokens "
            "need the drawing half: load parts='all', or set it to ['vit'] if the model was "
            "trained so"
        )


def hash_folder(folder: Path, weights: str = "") -> str:
    """SHA-256 over all safetensors files, in the order of their names; without those of weights
    that were not chosen.

    Files up to 512 MiB are read whole (`sha256:`). Of larger ones the size and 256 blocks of 64
    KiB, evenly spaced from first to last byte, are read (`sha256-sampled:`): enough to tell
    trainings apart in a second.
    """
    digest, kind = hashlib.sha256(), "sha256"
    left = [stem for stem in MODEL_STEMS if weights and stem != weights]
    for path in sorted(folder.glob("*.safetensors")):
        if any(path.name.startswith((f"{stem}.", f"{stem}-")) for stem in left):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= HASHED_WHOLE:
                while block := file.read(1 << 24):
                    digest.update(block)
                continue
            kind = "sha256-sampled"
            for i in range(_SAMPLES):
                file.seek((size - _SAMPLE) * i // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return f"{kind}:{digest.hexdigest()}"


def _untrained(folder: Path) -> tuple[BagelModel, LatentCodec, AskingStyle, str]:
    """The small architecture with the same random weights on every machine."""
    config = BagelConfig.from_folder(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BagelModel(config)
        codec = LatentCodec(config)
    digest = hashlib.sha256()
    for part in (model, codec):
        for name, value in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
    style = replace(AskingStyle.load(folder), model_id=UNTRAINED)
    return model, codec, style, f"sha256:{digest.hexdigest()}"

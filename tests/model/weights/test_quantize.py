"""Quantised weights: smaller, close to the original, and only where they should be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import small_style, write_model

from ipt_model.asking.imaginer import Imaginer
from ipt_model.question import Mode, Question, Task
from ipt_model.weights.quantize import QuantizationError, quantize

LIBRARIES = {"int8": "torchao", "int4": "bitsandbytes"}
IMAGE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
QUESTION = Question(Task.FREE, (IMAGE,), "Which way?", ("left", "right"), think="Looking.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    style = small_style(max_answer_tokens=4)
    return write_model(tmp_path_factory.mktemp("model"), style=style)


@pytest.mark.parametrize(("scheme", "bits", "tolerance"), [("int8", 8, 0.02), ("int4", 4, 0.35)])
def test_smaller_and_close(folder: Path, scheme: str, bits: int, tolerance: float) -> None:
    pytest.importorskip(LIBRARIES[scheme])
    full = Imaginer.from_pretrained(folder, device="cpu")
    small = Imaginer.from_pretrained(folder, device="cpu", quantization=scheme)  # type: ignore[arg-type]
    layers, quantised = (i._open.model.decoder.layers for i in (full, small))
    linear = sum(m.weight.nbytes for m in layers.modules() if isinstance(m, torch.nn.Linear))
    saved = _weight_bytes(layers) - _weight_bytes(quantised)
    # What is left of a 32-bit weight, and at most half a byte of scales per weight at this width.
    assert linear * (1 - (bits + 4) / 32) < saved < linear * (1 - bits / 32)
    for part in ("vit_model", "connector", "llm2vae", "vae2llm", "time_embedder"):
        left, right = (getattr(i._open.model, part).state_dict() for i in (full, small))
        assert all(torch.equal(left[name], right[name]) for name in left)
    ids = [small._open.tokenizer.encode("turn left 60 degrees")]
    rows = [_logits(imaginer, ids) for imaginer in (full, small)]
    assert (rows[0] - rows[1]).norm() / rows[0].norm() < tolerance
    views = [i.ask(QUESTION, Mode.IMAGINE).imagined_views[0].astype(float) for i in (full, small)]
    assert 0 < np.abs(views[0] - views[1]).mean() < 12


def _weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers as stored, quantised ones at their packed size."""
    return sum(_stored_bytes(t) for t in (*model.parameters(), *model.buffers()))


def _stored_bytes(tensor: torch.Tensor) -> int:
    inner = getattr(tensor, "tensor_data_names", None)  # torchao keeps its parts under these names
    if inner:
        return sum(getattr(tensor, name).nbytes for name in inner)
    state = getattr(tensor, "quant_state", None)  # bitsandbytes keeps its scales beside the weight
    return tensor.nbytes + (0 if state is None else state.absmax.nbytes)


def _logits(imaginer: Imaginer, ids: list[list[int]]) -> torch.Tensor:
    from ipt_model.inference.context import Context

    return Context(imaginer._open.model).logits_after(ids)[0].float()


def test_unknown_schemes_and_models_are_refused() -> None:
    with pytest.raises(QuantizationError, match="int3"):
        quantize(torch.nn.Linear(2, 2), "int3", torch.device("cpu"))  # type: ignore[arg-type]
    with pytest.raises(QuantizationError, match="no linear layer"):
        quantize(torch.nn.Linear(2, 2), "int8", torch.device("cpu"))


@pytest.mark.parametrize("scheme", LIBRARIES)
def test_a_missing_library_is_named(
    folder: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == LIBRARIES[scheme]]:
        monkeypatch.delitem(sys.modules, name)
    for module in ("torchao.quantization", "bitsandbytes.nn"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(QuantizationError, match=f"pip install {LIBRARIES[scheme]}"):
        Imaginer.from_pretrained(folder, device="cpu", quantization=scheme)  # type: ignore[arg-type]

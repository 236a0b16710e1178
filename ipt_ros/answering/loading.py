"""Loads the model in a thread of its own: imports, weights and the first run take seconds to
minutes, in which the node must hear signals, cancels and questions.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Any


def start_loading(values: Any) -> Future[Any]:
    """values: the node's parameters. The future brings a warm `Imaginer`."""
    loaded: Future[Any] = Future()

    def load() -> None:
        try:
            loaded.set_result(_load(values))
        except BaseException as error:
            loaded.set_exception(error)

    threading.Thread(target=load, name="loading", daemon=True).start()
    return loaded


def discard(loading: Future[Any]) -> None:
    """Nobody wants it any more: free the model when it has come."""

    def close(done: Future[Any]) -> None:
        if done.exception() is None:
            done.result().close()

    loading.add_done_callback(close)


def _load(values: Any) -> Any:
    # late: torch and transformers take seconds to import
    import torch

    from ipt_model.asking.imaginer import Imaginer

    # one core stays free for whoever drives the camera
    torch.set_num_threads(values.cpu_threads or max(1, (os.cpu_count() or 2) - 1))
    imaginer = Imaginer.from_pretrained(
        values.model,
        device=values.device,
        dtype=values.dtype,
        quantization=None if values.quantization == "none" else values.quantization,
        parts=values.model_parts,
        style=values.asking_style or None,
        weights="" if values.model_weights == "only" else values.model_weights,
    )
    imaginer.warm_up()
    return imaginer

"""A flow step recorded once and replayed, so that the host launches one graph instead of every
kernel.

Within one drawing all shapes and all stored keys stay in place; only the picture and the time
change, and these pass through fixed tensors. On a CUDA device the step is captured as a CUDA
graph; elsewhere the same fixed tensors are used and the step simply runs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: (picture [k, tokens, numbers], time embedding [hidden]) -> velocity
Step = Callable[[Tensor, Tensor], Tensor]
#: Runs before capture, in which libraries choose kernels and allocate their workspaces.
WARM_UP = 2


class RecordedStep:
    """Call it like the step; what it returned before stays valid."""

    def __init__(self, step: Step, x: Tensor, time: Tensor) -> None:
        self.step, self.x, self.time = step, x.clone(), time.clone()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.velocity: Tensor | None = None
        if x.is_cuda:
            self._capture()

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.step(self.x, self.time)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.velocity = self.step(self.x, self.time)

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        self.x.copy_(x)
        self.time.copy_(time)
        if self.graph is None or self.velocity is None:
            return self.step(self.x, self.time)
        self.graph.replay()
        return self.velocity.clone()  # the next replay writes over it

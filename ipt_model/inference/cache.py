"""Keys and values of everything a context has read, preallocated and shared between forks.

One `KeyValueStore` holds one growing sequence per layer. Contexts that forked from each other
read the same slots and differ only in how many of them they see. In front of the sequence lie
spare slots where a picture being drawn puts its own keys and values: store[front - n : front +
length] is then one contiguous view of "the picture and the context", for every fork, without a
copy.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..network.config import LlmShape


class Reader(Protocol):
    """Whoever sees the first `length` tokens of a store."""

    length: int


class KeyValueStore:
    """Per layer, keys and values [B, kv heads, front + capacity, head_dim]."""

    def __init__(
        self,
        shape: LlmShape,
        batch: int,
        capacity: int,
        front: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.batch, self.capacity, self.front = batch, capacity, front
        size = (batch, shape.kv_heads, front + capacity, shape.head_dim)
        self.keys = [torch.empty(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.values = [torch.empty(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    def register(self, reader: Reader) -> None:
        """Protect the slots this reader sees for as long as it lives."""
        self._readers.add(reader)

    def release(self, reader: Reader) -> None:
        self._readers.discard(reader)

    def free_after(self, length: int) -> bool:
        """Whether no living reader needs a slot from `length` on."""
        return all(reader.length <= length for reader in self._readers)

    def reserve(self, *, capacity: int = 0, front: int = 0) -> None:
        """Make room, at least doubling, layer by layer; what is stored stays. Readers notice
        nothing."""
        if capacity <= self.capacity and front <= self.front:
            return
        if capacity > self.capacity:
            capacity = max(capacity, 2 * self.capacity)
        old_front, old_capacity = self.front, self.capacity
        self.front, self.capacity = max(front, old_front), max(capacity, old_capacity)
        for tensors in (self.keys, self.values):
            for i, old in enumerate(tensors):
                new = old.new_empty(
                    old.shape[0], old.shape[1], self.front + self.capacity, old.shape[3]
                )
                new[:, :, self.front : self.front + old_capacity] = old[:, :, old_front:]
                tensors[i] = new

    def copy_prefix(self, length: int, capacity: int, shape: LlmShape) -> KeyValueStore:
        """A new store whose first `length` tokens are these."""
        like = self.keys[0]
        new = KeyValueStore(shape, self.batch, capacity, self.front, like.dtype, like.device)
        for mine, theirs in ((self.keys, new.keys), (self.values, new.values)):
            for a, b in zip(mine, theirs, strict=True):
                b[:, :, new.front : new.front + length] = a[:, :, self.front : self.front + length]
        return new

    def write(self, layer: int, start: int, k: Tensor, v: Tensor) -> None:
        """Store from token `start` on; a negative start lies in the spare slots."""
        a = self.front + start
        self.keys[layer][:, :, a : a + k.shape[2]] = k
        self.values[layer][:, :, a : a + v.shape[2]] = v

    def view(self, layer: int, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens start to end; negative starts reach into the spare slots."""
        a, b = self.front + start, self.front + end
        return self.keys[layer][:, :, a:b], self.values[layer][:, :, a:b]

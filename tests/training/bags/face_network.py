"""A network with the inputs and outputs of YuNet that takes magenta for a face: weights set by
hand, the bytes of the ONNX file written field by field."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

STRIDES = (8, 16, 32)
FLOAT, INTS = 1, 7


def write_face_network(path: Path, face: float = 1.0, corner: float = 0.5) -> Path:
    """face: what a wholly magenta cell scores. corner: where in its cell a face has its middle."""
    nodes, tensors, outputs = [], [], []
    for stride in STRIDES:
        share = face / (255 * stride**2)
        magenta = np.array([share / 2, -share, share / 2], np.float32)
        weights = np.broadcast_to(magenta[None, :, None, None], (1, 3, stride, stride))
        still = np.zeros((4, 3, stride, stride), np.float32)
        # the middle within the cell, and the logarithm of a size of one cell
        where = np.array([corner, corner, 0, 0], np.float32)
        points = np.zeros((10, 3, stride, stride), np.float32)
        for name, kernel, bias in (
            (f"cls_{stride}", weights, np.zeros(1, np.float32)),
            (f"obj_{stride}", weights, np.zeros(1, np.float32)),
            (f"bbox_{stride}", still, where),
            (f"kps_{stride}", points, np.zeros(10, np.float32)),
        ):
            tensors += [_tensor(f"{name}_w", kernel), _tensor(f"{name}_b", bias)]
            given = ["input", f"{name}_w", f"{name}_b"]
            sides = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
            nodes.append(_node("Conv", given, f"{name}_map", sides))
            nodes.append(_node("Transpose", [f"{name}_map"], name, {"perm": [0, 2, 3, 1]}))
            outputs.append(_value(name, (1, 320 // stride, 320 // stride, len(bias))))
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"faces")
    graph += b"".join(_bytes(5, tensor) for tensor in tensors)
    graph += _bytes(11, _value("input", (1, 3, 320, 320)))
    graph += b"".join(_bytes(12, output) for output in outputs)
    opset = _bytes(1, b"") + _number(2, 13)
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, opset))
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, side) for side in values.shape)
    raw = struct.pack(f"<{values.size}f", *values.ravel().tolist())
    return dims + _number(2, FLOAT) + _bytes(8, name.encode()) + _bytes(9, raw)


def _node(kind: str, given: list[str], out: str, sides: dict[str, list[int]]) -> bytes:
    attributes = b""
    for name, values in sides.items():
        ints = b"".join(_number(8, value) for value in values)
        attributes += _bytes(5, _bytes(1, name.encode()) + ints + _number(20, INTS))
    names = b"".join(_bytes(1, one.encode()) for one in given) + _bytes(2, out.encode())
    return names + _bytes(3, out.encode()) + _bytes(4, kind.encode()) + attributes


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, dims)))

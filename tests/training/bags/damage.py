"""Damaged files, one after another, in a process with little memory: `python damage.py KIND FILE
SEED COUNT`. KIND: bag or rows. Writes what became of them as JSON.

Each file must be refused with an error of ours, or give rows that could have been recorded. What
else happens is a fault, and is told with its number, so that it can be had again.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from ipt_model.wording.rows import ImageFormatError, SchemaError
from ipt_training.bags.contract import ContractError
from ipt_training.bags.converting import convert
from ipt_training.bags.mining.window import Mining
from ipt_training.bags.reading import BagError
from ipt_training.datasets.parquet import CorruptShardError, Dataset
from ipt_training.datasets.schema import example_from_row

#: Most memory, and most processor time for one file of some kB: a busy machine hangs nothing.
MEMORY_BYTES, SECONDS = 6 << 30, 20
SIZE_PX = 16


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one thing wrong with them, or a few."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(out)))
        long = int(rng.integers(1, 64))
        kind = int(rng.integers(9))
        if kind <= 2:
            out[at] = int(rng.integers(256))
        elif kind == 3:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 4:  # a length, as far as anybody knows
            out[at : at + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\0\x40"])
        elif kind == 5:
            out[at : at + long] = bytes(len(out[at : at + long]))
        elif kind == 6:
            del out[at : at + long]
        elif kind == 7:
            out[at:at] = out[at : at + long]
        else:
            del out[max(1, at) :]
    return bytes(out)


def damaged_bag(source: Path, folder: Path, rng: np.random.Generator) -> Path:
    """A copy of a recording, a file or a folder, of which one file is damaged."""
    path = folder / source.name
    if source.is_file():
        path.write_bytes(damaged(source.read_bytes(), rng))
        return path
    shutil.copytree(source, path)
    files = sorted(path.iterdir(), key=lambda file: file.suffix == ".yaml")
    file = files[int(rng.random() < 0.2)]
    file.write_bytes(damaged(file.read_bytes(), rng))
    return path


def check(out: Path, parts: dict[str, str]) -> int:
    """How many rows there are, all of which could have been recorded."""
    count = 0
    for part in parts:
        split, _, name = part.partition("/")
        for row in Dataset(next(out.rglob(f"*{split}.{name}"))):
            example = example_from_row(row)
            pictures = [*example.question.images, example.true_view, example.recalled.rgb]
            assert all(p.shape == (SIZE_PX, SIZE_PX, 3) for p in pictures)
            assert 0 <= example.answer_index < len(example.question.options) == 2
            assert 0 <= row.own["share_seen"] <= 1
            numbers = json.dumps(example.facts)
            assert "NaN" not in numbers and "Infinity" not in numbers
            before, after = (example.facts[f"object_{k}_m"] for k in ("before", "after"))
            assert before[2] > 0 and after[2] > 0
            assert max(map(abs, [*before, *after])) < 500
            assert math.hypot(*example.facts["motion"][:2]) < 6
            count += 1
    return count


def one_bag(source: Path, folder: Path, rng: np.random.Generator) -> str:
    path = damaged_bag(source, folder, rng)
    try:
        found = convert(path, folder, None, Mining(SIZE_PX))
    except (BagError, ContractError) as error:
        assert source.name in str(error) or "nothing to guess" in str(error), error
        assert len(str(error)) < 1000
        return "refused"
    count = check(folder, found.parts)
    assert count == sum(found.rows.values())
    return "left some out" if found.dropped else "whole"


def one_dataset(source: Path, folder: Path, rng: np.random.Generator) -> str:
    path = folder / source.name
    path.write_bytes(damaged(source.read_bytes(), rng))
    rows = []
    try:
        for row in Dataset(path):
            example_from_row(row)
            rows.append(row)
    except (CorruptShardError, SchemaError, ImageFormatError) as error:
        assert source.name in str(error) or isinstance(error, ImageFormatError), error
        assert len(str(error)) < 1500
        return "refused"
    assert rows == list(Dataset(source)), "a wrong row"
    return "whole"


def main(kind: str, source: Path, seed: int, count: int) -> None:
    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    run = {"bag": one_bag, "rows": one_dataset}[kind]
    ended: Counter[str] = Counter()
    faults = []
    for number in range(seed, seed + count):
        print(number, file=sys.stderr, flush=True)  # the last one, should the process die
        with tempfile.TemporaryDirectory() as folder:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                ended[run(source, Path(folder), np.random.default_rng(number))] += 1
            except Exception:
                faults.append(f"{number}: {traceback.format_exc()}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"ended": ended, "faults": faults, "peak_bytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

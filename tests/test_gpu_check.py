"""The script of a first hour with a GPU: what it says of checks that hold, fail or cannot run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def gpu_check():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_check

        yield gpu_check
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_one_check_that_falls_does_not_take_the_others_along(gpu_check) -> None:
    def falls():
        raise RuntimeError("out of memory")

    def cannot():
        raise gpu_check.SkipCheck("no GPU here")

    checks = [
        gpu_check.run_check(name, check)
        for name, check in (
            ("a", lambda: (True, "fine", {"error": 0.1})),
            ("b", lambda: (False, "too far off", {})),
            ("c", falls),
            ("d", cannot),
        )
    ]
    assert [c.status for c in checks] == ["ok", "failed", "failed", "skipped"]
    assert "RuntimeError: out of memory" in checks[2].said
    lines = gpu_check.table(checks).splitlines()
    assert len(lines) == 6 and lines[-1] == "| d | skipped | no GPU here |"


@pytest.mark.slow
def test_on_a_cpu_all_that_needs_no_gpu_holds(gpu_check, tmp_path, capsys) -> None:
    out = tmp_path / "check.json"
    assert gpu_check.main(["--device", "cpu", "--out", str(out)]) == 0
    found = {c["name"]: c for c in json.loads(out.read_text())["checks"]}
    assert found["parity in float32"]["status"] == "ok"
    assert found["recorded steps equal plain ones"]["figures"]["error"] == 0
    assert found["no waiting inside a flow step"]["status"] == "skipped"
    assert found["a question of each kind"]["figures"]["imagine_s"] > 0
    assert not any(c["status"] == "failed" for c in found.values())
    assert capsys.readouterr().out.startswith("| check |")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(gpu_check, capsys) -> None:
    assert gpu_check.main([]) == 0
    assert "skipped, torch sees no CUDA device" in capsys.readouterr().out

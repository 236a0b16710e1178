"""Error codes are those of the message, documented, and memory errors are recognised for what they
are.
"""

import re
from pathlib import Path

import pytest

from ipt_ros.errors import ErrorCode, GoalError, is_out_of_memory

ROOT = Path(__file__).parents[2]


def test_the_codes_are_those_of_the_message():
    text = (ROOT / "msg/ErrorCode.msg").read_text()
    message = {name: int(value) for name, value in re.findall(r"uint16 (\w+)=(\d+)", text)}
    assert message == {code.name: code.value for code in ErrorCode}


def test_every_code_is_documented():
    rows = re.findall(
        r"^\| (\d+) \| (\w+) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    documented = {name: int(code) for code, name in rows}
    assert documented == {c.name: c.value for c in ErrorCode if c is not ErrorCode.NONE}


def test_an_error_says_code_and_text():
    error = GoalError(ErrorCode.NO_MAP, "no map")
    assert str(error) == f"NO_MAP ({int(ErrorCode.NO_MAP)}): no map"
    assert (error.code, error.text) == (ErrorCode.NO_MAP, "no map")


def test_memory_errors_of_torch_are_recognised():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))

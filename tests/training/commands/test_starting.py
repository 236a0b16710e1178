"""Commands that need no torch do not wait for it: importing it takes seconds."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from importlib import import_module
import_module(sys.argv[1])
print("torch" in sys.modules)
"""


@pytest.mark.parametrize("command", ["bag", "dataset", "world"])
def test_a_command_without_a_model_loads_no_torch(command):
    run = [sys.executable, "-c", LOADED, f"ipt_training.commands.{command}"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"

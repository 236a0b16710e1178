"""`ipt` starts at once: who asks a node needs no torch, which takes seconds to import."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
LOADED = """
import sys
import ipt_ros.cli.asking, ipt_ros.cli.doctor
from ipt_ros.cli import main
try:
    sys.argv = ["ipt", "--help"]
    main()
except SystemExit as ended:
    print(ended.code, "torch" in sys.modules)
"""


def test_help_and_the_verbs_load_no_torch():
    run = [sys.executable, "-c", LOADED]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("usage: ipt") and done.stdout.splitlines()[-1] == "0 False"

"""Looks at the machine for `ipt doctor`: can the model be found, does torch see a GPU, how full is
it?

Importing torch takes seconds of computing, which would delay the messages that the doctor counts:
so `MachineLook` looks in a process of its own meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from ipt_ros.cli.facts import Machine

#: A cold disk brings torch in this time, s.
PATIENCE_S = 120.0


class MachineLook:
    """Begins looking at once; `result` waits for it."""

    def __init__(self, model: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ipt_ros.cli.machine", model],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> Machine:
        try:
            out, err = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Machine(torch_problem=f"importing torch takes more than {PATIENCE_S:.0f} s")
        if self._process.returncode:
            last = (err.strip().splitlines() or ["no message"])[-1]
            return Machine(torch_problem=f"importing torch ends Python: {last}")
        return Machine(**json.loads(out.splitlines()[-1]))


def look_at_machine(model: str) -> Machine:
    try:
        import torch

        from ipt_model.weights.checkpoint import model_entries
        from ipt_model.weights.loading import UNTRAINED, find_folder
    except ImportError as error:
        return Machine(torch_problem=f"the model cannot run here: {error}")
    problem, n_bytes = "", 0
    if model != UNTRAINED:
        try:
            n_bytes = sum(e.end - e.begin for e in model_entries(find_folder(model)).values())
        except (OSError, ValueError) as error:
            problem = " ".join(str(error).split())
    if not torch.cuda.is_available():
        return Machine(model_problem=problem, model_bytes=n_bytes)
    free, total = torch.cuda.mem_get_info()
    return Machine(problem, n_bytes, torch.cuda.get_device_name(), free, total)


if __name__ == "__main__":
    print(json.dumps(asdict(look_at_machine(sys.argv[1]))))

"""One process of a training that diverges: `ipt-train` whose losses of one showing are none.

diverging_run.py SHOWING ARGUMENTS_OF_IPT_TRAIN
"""

from __future__ import annotations

import math
import sys

import torch

from ipt_training.commands.train import main
from ipt_training.finetune.losses import LossModule

if __name__ == "__main__":
    showing, forward = int(sys.argv[1]), LossModule.forward

    def poisoned(self, batch):
        parts = forward(self, batch)
        if showing in batch.showings:
            return parts * torch.tensor([1.0, math.nan, 1.0])
        return parts

    LossModule.forward = poisoned
    raise SystemExit(main(sys.argv[2:]))

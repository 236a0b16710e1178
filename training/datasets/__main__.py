"""`python -m ipt_training.datasets` is `ipt-dataset`."""

import sys

from ipt_training.commands.installed import dataset

if __name__ == "__main__":
    sys.exit(dataset())

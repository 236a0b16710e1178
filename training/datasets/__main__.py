"""`python -m ipt_training.datasets` is `ipt-dataset`."""

import sys

from ipt_training.datasets.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m ipt_ros.cli`, where the `ipt` executable is not on the path."""

import sys

from ipt_ros.starting.executables import ipt

sys.exit(ipt())

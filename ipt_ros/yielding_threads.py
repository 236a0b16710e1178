"""Imported before torch, lets its idle threads sleep instead of spinning.

A robot's cores belong to the camera driver and the planner too. Spinning threads that wait for one
that was preempted make every step of the model wait: on two busy cores an imagined view took 22 s
with the default and 0.7 s with this. A value that is set in the environment already is left alone.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

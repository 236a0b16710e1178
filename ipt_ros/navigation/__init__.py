"""What imagined space is worth to a robot that drives: the same errands in the same simulated
houses with and without it, in a closed loop over topics. The robot's own nodes import nothing
from here.
"""

"""What the questions of the data look like: the numbers that the data and the robot share.

A model answers what it was trained on. Whoever shows it a map or asks it for a count takes the
side of the map, what lies behind the robot and how many frames and options there are from here.
"""

from __future__ import annotations

#: Side of the square that a clearance map shows, m, and how much of it lies behind the robot.
MAP_SIDE_M = 6.4
MAP_BEHIND_M = 1.0
#: Paths stay within this share of the map's half side from its middle.
MAP_SHOWN = 0.94
#: "Clear" means that a robot of this half width fits through.
ROBOT_RADIUS_M = 0.15

#: A count is asked over so many frames, a quarter of a turn apart, with so many counts in a row to
#: choose from; the largest of them is one of these.
COUNT_FRAMES = 4
COUNT_OPTIONS = 4
COUNT_MOST = (4, 5, 6)
#: Frames are taken no farther apart than this, m.
COUNT_APART_M = 3.8

"""Robots' recordings as training examples: a bag is read, its frames get poses, and what the robot
saw later is the truth of what it could have imagined before. No ROS; nothing here trains.
"""

"""Scenes as worlds for Gazebo: SDFormat files (the simulator's format, not signed distances), the
robot that drives in them, and the truth about each as JSON. Nothing here starts Gazebo.
"""

"""Worlds, tasks, datasets, fine-tuning and evaluation. Installed as `ipt_training`; knows nothing
of ROS.
"""

"""Evaluation: all tasks and modes at one checkpoint, with intervals, pictures and calibration."""

"""Datasets of spatial questions: made from worlds, audited against shortcuts, stored in the
published schema.
"""

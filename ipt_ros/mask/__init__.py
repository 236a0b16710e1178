"""The imagined-space mask: what it may claim, and who takes it back. Nothing else may publish
occupancy.
"""

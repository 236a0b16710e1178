"""What a robot has seen when it is asked: from where it looked before, what its memory recalls of
the asked view, and the map that its depth gives.
"""

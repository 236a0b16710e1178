"""Random furnished houses from a seed: rooms, walls, furniture, and the checks that a house must
pass. Pictures are made elsewhere.
"""

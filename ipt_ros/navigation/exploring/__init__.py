"""'Find the green chair': a robot that has no map explores a house until it sees a thing, by the
nearest frontier or by what the recalled and imagined views from frontiers show.
"""

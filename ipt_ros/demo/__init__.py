"""`make demo`: a simulated robot asks about space it cannot see, over real DDS, and writes a
report.
"""

"""The four actions: one module each for what is asked and what comes back, `server` for how a goal
lives.
"""

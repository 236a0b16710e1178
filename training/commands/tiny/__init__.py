"""The shipped small model from nothing: what its stages are, and the command that works through
them.
"""

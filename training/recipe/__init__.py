"""The training recipe: what the YAML may say, checked, with defaults. Nothing here builds or
trains.
"""

"""How the programs of this package begin, and what Ctrl-C and SIGTERM mean to them. Nothing here
imports what takes long.
"""

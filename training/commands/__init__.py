"""One file a command line verb: arguments, progress, exit codes. What a command does lives in the
rooms below; only a command may import a command.
"""

"""A recording as the place where a node is evaluated: what is asked in it, and how it is played.
The rest of the evaluator knows a recording only as a `Setting`.
"""

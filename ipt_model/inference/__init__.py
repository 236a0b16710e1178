"""What runs the network fast: the cache of what was read, the flow that draws, the scores of
options. It knows no questions, no budgets and no files.
"""

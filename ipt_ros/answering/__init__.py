"""From a view and a goal to a question, from an answer to a message, and what may be believed. No
threads of the executor, no topics in.
"""

"""Imagined views compared with the place itself, later: what is watched for, how alike two
pictures are, what is logged. It answers no goals.
"""

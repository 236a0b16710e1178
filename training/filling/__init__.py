"""Other ways to fill what nobody has seen of a view or a map: a small network that is trained to,
and what needs no training. Drawing is compared with them, so nothing here knows the model that
draws.
"""

"""How the memory works inside: one remembered view, what views say of each other, and how a
picture is put together from them. Only `memory` imports from here.
"""

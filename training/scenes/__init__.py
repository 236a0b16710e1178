"""A scene and what can be known of it: walls, things, colours, cameras, grids, splits by seed. It
is not made here and not drawn here.
"""

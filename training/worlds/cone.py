"""The one mesh of a world: a cone of diameter and height 1 around the origin, its tip up, as
Wavefront OBJ. It has the triangles of our own pictures, so that both see the same cone.
"""

from __future__ import annotations

import numpy as np

from ipt_training.rendering.mesh import SIDES, unit_mesh
from ipt_training.scenes.scene import SHAPES


def cone_obj() -> str:
    """Faces with normals; a vertex has the smooth one of the side and, below, that of the base."""
    mesh = unit_mesh(SHAPES.index("cone"), SIDES[-1][1])
    corners = mesh.normals.reshape(-1, 3)
    normals, of_corner = np.unique(np.round(corners, 6) + 0.0, axis=0, return_inverse=True)
    lines = ["# A cone of diameter and height 1, tip up."]
    lines += [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in mesh.vertices + 0.0]
    lines += [f"vn {x:.6f} {y:.6f} {z:.6f}" for x, y, z in normals]
    for triangle, shades in zip(mesh.triangles, of_corner.reshape(-1, 3), strict=True):
        corner = (f"{v + 1}//{n + 1}" for v, n in zip(triangle, shades, strict=True))
        lines.append(f"f {' '.join(corner)}")
    return "\n".join(lines) + "\n"

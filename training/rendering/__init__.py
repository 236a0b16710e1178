"""Pictures of a scene: meshes, shading, rays. It knows scenes and cameras, no tasks."""

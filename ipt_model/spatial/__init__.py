"""Space that was seen: the memory of it, cameras, moving a seen picture to another pose, maps as
grids and as pictures. numpy and OpenCV alone; no model, no ROS.
"""

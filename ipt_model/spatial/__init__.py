"""Space that was seen: cameras, moving a seen picture to another pose, maps as grids and as
pictures. numpy alone; no model, no ROS.
"""

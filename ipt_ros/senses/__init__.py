"""What the robot perceives: topics in, views with poses out, stored by callbacks and decoded on
demand. No question and no model may enter here.
"""

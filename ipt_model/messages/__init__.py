"""What robots' messages say, as numpy: pictures, depth, calibration, poses. Fields are read by
name, so messages of rclpy and of a bag reader pass alike; no ROS may enter.
"""

"""The model that understands and draws, and how to ask it. torch only: no ROS, no training."""

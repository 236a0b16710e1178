"""The robot's nodes. Thin: whatever numpy alone can test lives in a ROS-free module beside its
node.
"""

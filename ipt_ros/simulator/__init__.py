"""The simulated robot and its world, behind the topics of a real one. The robot's own nodes
import nothing from here.
"""

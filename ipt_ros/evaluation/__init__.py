"""`evaluate_node`: puts a simulated robot in place after place, asks the running ipt_node through
its actions, and scores what comes back against the truth about the world. The robot's own nodes
import nothing from here.
"""

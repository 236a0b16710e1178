"""One answer, stage by stage: which mode, how much time, what is drawn, what is said. It takes a
loaded model as it is; nothing here knows how weights are stored.
"""

"""`make finetune-demo`: a simulated robot drives through houses of a look that the shipped weights
have never seen, its recordings become rows, the weights are fine-tuned on them, and what that was
worth is measured in houses that were held out. Not here: the training itself, and what becomes of
a recording; those are the commands that a robot's owner runs, and the demo runs them too.
"""

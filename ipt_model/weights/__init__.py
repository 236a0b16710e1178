"""From files to a loaded model, one way only: tensors, checkpoints, quantization, what a
checkpoint says about itself. The shipped weights lie here too; nothing here asks a question.
"""

#: The shipped model that is loaded where nobody names one.
DEFAULT_MODEL = "ipt-tiny-finer"

"""The words: what is asked and how, how words become ids, and how an answer is read from what was
written. No tensors of pictures and no model may enter here.
"""

"""What is learned: the layers of the decoder, the towers of pictures, the autoencoder, and how a
training sequence is packed. No tokens of words, no files, no state of an answer may enter
here.
"""

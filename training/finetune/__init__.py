"""Training the model: sequences, losses, optimiser, checkpoints and the loop that joins them."""

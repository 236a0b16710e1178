"""What a training step is fed: rows and their latents as token sequences with targets. No
optimiser and no loss may enter here.
"""

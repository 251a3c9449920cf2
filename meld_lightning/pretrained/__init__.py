"""Pretrained checkpoints: finds them, verifies their files and wraps them as encoders.

Used by `prepare`, the datamodules and the models. Knows nothing of runs.
"""

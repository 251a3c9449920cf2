"""Checkpoints: pretrained weights, found, checked whole and wrapped as encoders."""

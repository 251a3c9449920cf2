"""Answers: from logits to calibrated probabilities and abstention, and their display and files."""

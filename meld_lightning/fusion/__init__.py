"""Fusion: logits of finished runs joined by utterance key, and the methods fitted on them."""

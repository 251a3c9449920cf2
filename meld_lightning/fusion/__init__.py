"""Fusion: logits of finished runs joined by utterance key, and the models fitted on them."""

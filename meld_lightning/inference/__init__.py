"""Inference: trained models and fusions, loaded without their corpus, and what they say of new
clips and texts."""

"""Inference: trained models and fusions, loaded without their corpus, and their predictions for new
clips and texts."""

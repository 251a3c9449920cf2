"""Modules: one LightningModule per modality. They know batches and logits, and nothing of files or
tables."""

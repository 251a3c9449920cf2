"""Datamodules: one LightningDataModule per modality, reading the corpus table and the caches."""

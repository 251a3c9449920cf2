"""Datamodules: one LightningDataModule per modality, over what a corpus and its caches hold."""

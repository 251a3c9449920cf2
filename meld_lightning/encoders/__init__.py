"""Pretrained encoders of sound and pictures, used by the datamodules that cache their output and by the modules."""

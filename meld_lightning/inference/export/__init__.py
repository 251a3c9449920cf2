"""Export: a run or a fusion as one folder that loads anywhere, its model card and its upload."""

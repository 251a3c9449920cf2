"""Models: LightningModules that turn batches into logits. They read no files but checkpoints and
know no tables or runs."""

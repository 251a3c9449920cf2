"""Lists, comparisons and the cleaning of run folders: what `meld-lightning runs` does."""

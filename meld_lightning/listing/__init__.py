"""Lists, compares and cleans run folders for `meld-lightning runs`."""

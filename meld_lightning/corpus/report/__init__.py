"""The corpus report: what was found, how it compares, every quirk counted, every doubtful row with
its reason."""

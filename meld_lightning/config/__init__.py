"""The config tree as code sees it: which keys and types each node takes, and where conf/ lies."""

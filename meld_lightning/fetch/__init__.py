"""Gets MELD: downloads or takes its archive, unpacks it safely, and counts what is there."""

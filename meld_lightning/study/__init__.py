"""Studies: the tables that one report shows, the runs they need, and the evidence for them."""

"""Items: the clips, arrays and texts that a user asks about, read, checked and decoded."""

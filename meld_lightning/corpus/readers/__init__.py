"""Readers: one per corpus layout, from the user's files to rows."""

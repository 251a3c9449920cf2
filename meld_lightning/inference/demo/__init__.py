"""The demo: a page on this machine that predicts the emotion of a clip or a text."""

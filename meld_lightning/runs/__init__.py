"""Runs: one folder per finished training or fusion, named by what determines its result."""

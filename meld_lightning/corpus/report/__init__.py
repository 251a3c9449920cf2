"""The corpus report: sizes, class balance, counts of irregularities, and doubtful rows with
reasons.
"""

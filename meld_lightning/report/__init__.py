"""Reports: a study's tables and figures beside the paper's, rendered from finished runs.

Reads run objects and the corpus report, writes experiments/<study>/. Knows nothing of training.
Used by the commands `reproduce` and `report`.
"""

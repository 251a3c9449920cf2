"""Tables beside the paper's, rendered from finished runs. Knows nothing of training.

Reads run objects and the corpus report, writes <out>/<table>/{table.md, table.tex, results.csv} and
<out>/README.md. Used by the commands `reproduce` and `report`.
"""

from meld_lightning.report.render import render_tables
from meld_lightning.study.spec import needed_cells, table_cells

__all__ = ["needed_cells", "render_tables", "table_cells"]

"""A run's learning curve for the terminal: one line per epoch, with a bar for the val score.

Reads metrics.csv of a run folder; writes nothing. Used by `show`.
"""

import csv
from pathlib import Path

from meld_lightning.listing.layout import bar

MOST = 24  # lines; a longer run shows every second or third epoch, and always the chosen one
COLUMNS = 36  # of the longest bar


def curve(folder: Path, monitor: str, chosen: int) -> list[str]:
    """Lines with epoch, training loss and the monitored val metric; none if the run has
    no epochs, or if metrics.csv cannot be read."""
    try:
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = [
                (int(row["epoch"]), float(row["train/fit_loss"]), float(row[monitor]))
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError):
        return []
    if not rows:
        return []
    step = -(-len(rows) // MOST)
    shown = [row for place, row in enumerate(rows) if place % step == 0 or row[0] == chosen]
    values = [value for *_, value in rows]
    # a loss has no upper limit: its bars are shares of its largest value; a score's, shares of 1
    low, high = (0.0, 1.0) if monitor != "val/loss" else (0.0, max(values))
    lines = [f"epoch  train loss  {monitor}"]
    for epoch, loss, value in shown:
        share = (value - low) / (high - low) if high > low else 0.0
        mark = "  <- chosen" if epoch == chosen else ""
        lines.append(f"{epoch:5}  {loss:10.4f}  {value:.4f} {bar(share, COLUMNS)}{mark}")
    if step > 1:
        lines.append(f"(one in {step} of {len(rows)} epochs)")
    return lines

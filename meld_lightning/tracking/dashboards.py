"""What W&B shows of a sweep: one definition of a saved view and a report, saved on a server or
written as JSON.

Reads the runs that wandb_offline.py found and the study's rendered tables; writes
experiments/<study>/dashboards/. Used by `meld-lightning dashboards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import write_json
from meld_lightning.tracking.loggers import STEP
from meld_lightning.tracking.wandb_offline import WatchedRun

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

NO_SETTING = ("hash", "commit", "dirty")  # differ between runs, but nobody chose them
NOT_SWEPT = ("machine/", "media/processes", "checkpoints/")
CONFUSION = "best/test/confusion_table"


@dataclass(frozen=True)
class Dashboard:
    """Of one group of runs. `swept` are the settings that differ between them, as W&B's config
    names them."""

    group: str
    runs: int
    swept: list[str]
    view: Workspace
    report: Report

    def as_json(self) -> dict[str, Any]:
        """What wandb-workspaces would send."""
        view, report = self.view._to_model(), self.report._to_model()
        return {
            "group": self.group,
            "runs": self.runs,
            "swept": self.swept,
            "view": {"name": view.display_name, "project": view.project, "spec": _plain(view.spec)},
            "report": {
                "name": report.display_name,
                "project": view.project,
                "spec": _plain(report.spec),
            },
        }

    def save(self) -> list[str]:
        """Saves both on W&B's server; their addresses. UserError with what the server said against
        it."""
        import wandb

        try:
            self.view.save()
            self.report.save()
            return [self.view.url, self.report.url]
        except (wandb.Error, ValueError, OSError) as error:
            raise UserError(
                f"W&B does not take the dashboard of {self.group}: {str(error).splitlines()[0]}"
            ) from error


def dashboard(
    group: str,
    runs: Sequence[WatchedRun],
    monitor: str,
    tables: Sequence[tuple[str, str]],
    entity: str,
) -> Dashboard:
    """The definition for one group. tables: (name, Markdown) of each table that the report
    shows."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    project, swept = runs[0].project, swept_settings(runs)
    curves = [
        wr.LinePlot(
            title=f"{monitor} by {key}",
            x=STEP,
            y=[monitor],
            groupby=wr.Config(key),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for key in swept
    ]
    curves.append(wr.LinePlot(title=f"{monitor}, every run", x=STEP, y=[monitor]))
    curves.append(wr.LinePlot(title="train/loss, every run", x=STEP, y=["train/loss"]))
    found = [f"best/{monitor}", "best/test/weighted_f1", "best/test/accuracy"]
    axes: list[Any] = [*map(wr.Config, swept), *map(wr.SummaryMetric, dict.fromkeys(found))]
    parallel = wr.ParallelCoordinatesPlot(
        title=f"settings and best/{monitor}",
        columns=[wr.ParallelCoordinatesPlotColumn(metric=one) for one in axes],
    )
    confusion = wr.CustomChart(
        query={"summaryTable": {"tableKey": CONFUSION}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields={"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        chart_strings={"title": "test, at the epoch chosen on val"},
    )
    parts: dict[str, list[Any]] = {
        "Curves": curves,
        "Parallel coordinates": [parallel],
        "Confusion matrices": [confusion],
    }
    view = ws.Workspace(
        entity=entity,
        project=project,
        name=f"Sweep {group}",
        sections=[
            ws.Section(name=name, panels=panels, is_open=True) for name, panels in parts.items()
        ],
        runset_settings=ws.RunsetSettings(filters=[ws.Metric("Group") == group]),
        auto_generate_panels=False,
    )
    blocks: list[Any] = []
    for name, panels in parts.items():
        # without entity and project a run set is that of the report's own project; with them it
        # asks the server
        runset = wr.Runset(name=group, filters=f"Group == '{group}'")
        blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[runset], panels=panels)]
    for _, markdown in tables:
        blocks.append(wr.MarkdownBlock(text=markdown))
    report = wr.Report(entity=entity, project=project, title=f"Sweep {group}", blocks=blocks)
    return Dashboard(group, len(runs), swept, view, report)


def swept_settings(runs: Sequence[WatchedRun]) -> list[str]:
    """The config keys whose values differ between runs, but for what is no setting."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    asked = (key for key in keys if key not in NO_SETTING and not key.startswith(NOT_SWEPT))
    return [key for key in asked if len({repr(run.config.get(key)) for run in runs}) > 1]


def rendered_tables(folder: Path) -> list[tuple[str, str]]:
    """Each table.md that `reproduce` or `report` left in experiments/<study>."""
    return [(path.parent.name, path.read_text()) for path in sorted(folder.glob("*/table.md"))]


def write_dashboards(dashboards: Iterable[Dashboard], folder: Path) -> list[Path]:
    """folder/<group>.json for each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in dashboards:
        written.append(folder / f"{one.group}.json")
        write_json(written[-1], one.as_json())
    return written


def _plain(spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found

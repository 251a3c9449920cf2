"""A sweep's dashboard in W&B: the definition of a saved view and of a report, saved on W&B's server
or written as JSON.

Reads run folders (tracking.json, config.yaml); writes experiments/<study>/dashboards/. Shows val
and nothing of test, since people choose by it. Used by `meld-lightning dashboards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.errors import UserError, first_line
from meld_lightning.storage.atomic import write_json
from meld_lightning.tracking.tracked import settings_in
from meld_lightning.tracking.wandb_logger import STEP

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

NOT_SWEPT = ("machine/", "media/processes", "checkpoints/")  # these never change a result
CONFUSION = "best/val/confusion_table"


@dataclass(frozen=True)
class Dashboard:
    """View and report of one group of runs. `swept` are the settings that differ between them, as
    W&B's config names them."""

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
            "view": {"name": view.display_name, "project": view.project, "spec": _json(view.spec)},
            "report": {
                "name": report.display_name,
                "project": view.project,
                "spec": _json(report.spec),
            },
        }

    def save(self) -> list[str]:
        """Saves both on W&B's server and returns their addresses. UserError with the server's
        reason if it refuses them."""
        import wandb

        try:
            self.view.save()
            self.report.save()
            return [self.view.url, self.report.url]
        except (wandb.Error, ValueError, OSError) as error:
            raise UserError(
                f"W&B refuses the dashboard of {self.group}: {first_line(error)}"
            ) from error


def dashboard(
    group: str,
    folders: Sequence[Path],
    project: str,
    monitor: str,
    entity: str,
) -> Dashboard:
    """The definition for one group. folders: of the group's runs."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    swept = swept_settings([settings_in(folder) for folder in folders])
    panels = _panels(swept, monitor)
    view = ws.Workspace(
        entity=entity,
        project=project,
        name=f"Sweep {group}",
        sections=[
            ws.Section(name=name, panels=of_section, is_open=True)
            for name, of_section in panels.items()
        ],
        runset_settings=ws.RunsetSettings(filters=[ws.Metric("Group") == group]),
        auto_generate_panels=False,
    )
    blocks: list[Any] = []
    for name, of_section in panels.items():
        # a run set without entity and project is that of the report's own project; with them it
        # would ask the server
        runset = wr.Runset(name=group, filters=f"Group == '{group}'")
        blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[runset], panels=of_section)]
    report = wr.Report(entity=entity, project=project, title=f"Sweep {group}", blocks=blocks)
    return Dashboard(group, len(folders), swept, view, report)


def _panels(swept: Sequence[str], monitor: str) -> dict[str, list[Any]]:
    """Section -> panels, the same in the view and the report."""
    import wandb_workspaces.reports.v2 as wr

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
    scores = dict.fromkeys([f"best/{monitor}", "best/val/weighted_f1", "best/val/accuracy"])
    axes: list[Any] = [*map(wr.Config, swept), *map(wr.SummaryMetric, scores)]
    parallel = wr.ParallelCoordinatesPlot(
        title=f"settings and best/{monitor}",
        columns=[wr.ParallelCoordinatesPlotColumn(metric=axis) for axis in axes],
    )
    confusion = wr.CustomChart(
        query={"summaryTable": {"tableKey": CONFUSION}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields={"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        chart_strings={"title": "val, at the chosen epoch"},
    )
    return {
        "Curves": curves,
        "Parallel coordinates": [parallel],
        "Confusion matrices": [confusion],
    }


def swept_settings(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ between the settings of the runs and change results."""
    keys = dict.fromkeys(key for settings in runs for key in settings)
    return [
        key
        for key in keys
        if not key.startswith(NOT_SWEPT) and len({repr(settings.get(key)) for settings in runs}) > 1
    ]


def write_dashboards(dashboards: Iterable[Dashboard], folder: Path) -> list[Path]:
    """Writes folder/<group>.json for each and returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for each in dashboards:
        written.append(folder / f"{each.group}.json")
        write_json(written[-1], each.as_json())
    return written


def _json(spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found

"""`meld-lightning runs [ACTION] [HASH ...] [key=value ...]`: lists, explains, compares and cleans
run folders.

The first word without `=` is the action, and the next ones are runs: a hash or its first digits, a
name, or a folder. Keys that are not the command's own select runs by their settings.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import HELP, run_hydra
from meld_lightning.commands.words import TAKES_A_VALUE
from meld_lightning.errors import UserError, near_miss
from meld_lightning.listing.layout import Shown

TAKES = {"show": 1, "compare": 2}  # action -> runs that it takes; the others select by settings


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    from meld_lightning.config.keys import parameters_of
    from meld_lightning.config.nodes import Runs

    words, filters, rest = _split(arguments, {*parameters_of(Runs), "hydra"})
    action = (words or ["list"])[0]
    if action not in Runs.actions:
        raise UserError(
            f"runs {action}: no such action{near_miss(action, Runs.actions)}; actions:"
            f" {', '.join(Runs.actions)}"
        )
    if not set(HELP) & set(rest):
        _check(action, words[1:], filters)
    run_hydra("runs", lambda cfg: _runs(action, words[1:], filters, cfg), rest)


def _split(arguments: Sequence[str], own: set[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """The action and the runs, the filters, and what Hydra reads."""
    words: list[str] = []
    filters: dict[str, str] = {}
    rest: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-") or (rest and rest[-1] in TAKES_A_VALUE):
            rest.append(argument)
        elif not equals:
            words.append(argument)
        elif key.lstrip("+~").partition(".")[0] in own:
            rest.append(argument)
        else:
            filters[key] = value
    return words, filters, rest


def _check(action: str, runs: Sequence[str], filters: Mapping[str, str]) -> None:
    """UserError for too many or too few runs, and for filters in an action that takes none."""
    if len(runs) != (wanted := TAKES.get(action, 0)):
        example = " ".join(["meld-lightning runs", action, *["HASH"] * wanted])
        takes = ("no hash or name", "one run", "two runs")[wanted]
        more = "" if wanted else " model=bert selects runs by a setting"
        raise UserError(f"runs {action} takes {takes}, {len(runs)} given: {example}{more}")
    if wanted and filters:
        given = " ".join(f"{key}={value}" for key, value in filters.items())
        raise UserError(
            f"runs {action}: leave out {given}; list, best, failed and clean select by settings"
        )


def _runs(action: str, words: Sequence[str], filters: Mapping[str, str], cfg: DictConfig) -> None:
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Runs

    check(cfg, Runs)
    shown = _shown(action, words, filters, cfg)
    print(json.dumps(shown.data, indent=1) if cfg["json"] else shown.text, flush=True)


def _shown(action: str, words: Sequence[str], filters: Mapping[str, str], cfg: DictConfig) -> Shown:
    from meld_lightning.listing import clean, detail, failed, overview

    runs, experiments = Path(cfg.paths.runs), Path(cfg.paths.experiments)
    if action == "show":
        return detail.show_run(words[0], runs, experiments)
    if action == "compare":
        from meld_lightning.listing import compare  # it imports pandas

        return compare.compare_runs(words[0], words[1], runs)
    if action == "failed":
        return failed.failed_runs(runs, Path(cfg.sweeps), filters)
    if action == "clean":
        return clean.clean_runs(runs, experiments, filters, cfg.what, cfg.yes)
    if action == "best":
        return overview.best_runs(runs, filters, cfg.key)
    return overview.list_runs(runs, filters, cfg.sort)

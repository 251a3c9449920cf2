"""Every call with which a command changes its output fails once, by an I/O error, a full disk and a
kill; the command is then run again, and ends with the bytes of a calm run.

The quick promises of single writes stand in tests/storage/test_atomic.py, those of real disks in
tests/system/faults.
"""

from collections.abc import Sequence
from itertools import groupby

import pytest

from tests.faults.calls import FAULTS
from tests.faults.cases import Case, Study, Sufferer, cases_of, make_study
from tests.faults.study import COMMANDS

KINDS = ("open", "write", "fsync", "rename", "mkdir", "unlink")
EACH = 3  # cases of each command in the sample


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("faults"))


def sample(study: Study) -> list[Case]:
    """A few cases of each command: other kinds of calls, from other places, with other faults."""
    chosen, cases = [], cases_of(study)
    for place, command in enumerate(COMMANDS):
        for turn, fault in enumerate(FAULTS[:EACH]):
            kind = KINDS[(place + 2 * turn) % len(KINDS)]
            own = [
                case
                for case in cases
                if (case.command, case.call.kind, case.fault) == (command, kind, fault)
            ]
            chosen.append(own[len(own) * (turn + 1) // (EACH + 1)])
    return chosen


def wrong_of(study: Study, cases: Sequence[Case]) -> dict[str, list[str]]:
    """What is wrong with each case that does not end well."""
    found: dict[str, list[str]] = {}
    for command, own in groupby(cases, key=lambda case: case.command):
        with Sufferer(study, command) as sufferer:
            found |= {str(case): sufferer.suffer(case) for case in own}
    return {case: wrong for case, wrong in found.items() if wrong}


def tally(cases: Sequence[Case]) -> str:
    """The numbers of cases by command, as one line."""
    numbers = {name: sum(case.command == name for case in cases) for name in COMMANDS}
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


@pytest.mark.slow
def test_a_sample_of_failing_calls(study: Study) -> None:
    cases = sample(study)
    assert len(cases) == EACH * len(COMMANDS)
    assert {case.fault for case in cases} == set(FAULTS)
    assert wrong_of(study, cases) == {}


@pytest.mark.long
def test_every_failing_call(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    cases = cases_of(study)
    wrong = wrong_of(study, cases)
    with capsys.disabled():
        print(
            f"\n{len(cases)} cases ({tally(cases)}): {len(cases) - len(wrong)} end with the calm"
            f" run's bytes; {len(study.again)} different states were run again"
        )
    assert wrong == {}

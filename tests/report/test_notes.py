"""The numbered remarks on the paper."""

from typing import Any

import pytest

from meld_lightning.errors import UserError
from meld_lightning.report.notes import NOTES, check_notes
from meld_lightning.study.kinds import read_tables

Spec = dict[str, Any]


def test_every_note_is_named_by_a_table(tables: Spec) -> None:
    assert list(NOTES) == list(range(1, 12))
    named = {number for table in read_tables(tables).values() for number in table.notes}
    assert named == set(NOTES)


def test_a_note_that_does_not_exist_is_refused(tables: Spec) -> None:
    tables["table_03"]["notes"] = [3, 99]
    with pytest.raises(UserError, match="table_03.notes names note 99, .* has 1-11"):
        check_notes(read_tables(tables))

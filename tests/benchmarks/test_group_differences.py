"""An audit finds as many differences as promised where there are none, whether groups share their
units or not."""

import pytest

from benchmarks.group_differences import Cell, type_1


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_groups_that_are_alike_are_told_apart_as_often_as_promised(shared: bool) -> None:
    rate, count = type_1(Cell(40, 10, shared, 0.3, 3), 400)
    assert count > 350
    assert 0.02 <= rate <= 0.08  # .05, with two standard errors of 400 replicates and rounding

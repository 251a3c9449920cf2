"""Cases of a test of which the first show what the quick tests need."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], number: int) -> list[Any]:
    """The first cases as they are; the others are slow. A case of several arguments is a tuple."""
    listed = list(cases)
    slow = (case if isinstance(case, tuple) else (case,) for case in listed[number:])
    return [*listed[:number], *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]

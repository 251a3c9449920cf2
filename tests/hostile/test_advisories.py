"""Dependencies: no floor of pyproject.toml, and no installed version, has a known vulnerability."""

import importlib.util
import tomllib
from types import ModuleType

import pytest

from tests.running import CHECKOUT


@pytest.fixture(scope="module")
def advisories() -> ModuleType:
    spec = importlib.util.spec_from_file_location("advisories", CHECKOUT / ".ci/advisories.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_floors_and_installed_versions_have_no_known_vulnerability(advisories: ModuleType) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    floors = advisories.floors_of(project)
    assert {"torch", "gradio", "pillow"} <= set(floors)
    assert not list(advisories.below(floors))
    assert not list(advisories.below(advisories.installed()))


def test_an_older_version_is_a_finding(advisories: ModuleType) -> None:
    [found] = advisories.below({"pillow": "11.2.1", "numpy": "1.0"})
    assert found == "pillow 11.2.1: CVE-2025-48379 (fixed in 11.3.0)"


def test_packages_that_could_not_be_checked_are_not_counted(advisories: ModuleType) -> None:
    """Behind a mirror pip-audit skips everything, and calls that no vulnerability."""
    flaw = {"id": "CVE-1", "fix_versions": ["2"]}
    packages = [
        {"name": "a", "skip_reason": "not found on PyPI"},
        {"name": "b", "version": "1", "vulns": [flaw]},
    ]
    assert advisories.read_audit(packages) == (1, ["installed: b 1: CVE-1 (fixed in 2)"])

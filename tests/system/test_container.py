"""The Containerfile, read and not built: the files that it copies exist and are all that an install
needs, it installs the tested versions, and the command does not run as root."""

import re
import shlex
import tomllib

from tests.running import CHECKOUT

TEXT = (CHECKOUT / "Containerfile").read_text()
LINES = re.sub(r"#[^\n]*\n", "", TEXT).splitlines()
STEPS = [tuple(line.split(" ", 1)) for line in LINES if line]


def given(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


def test_it_copies_all_that_an_install_reads() -> None:
    copied = {name for line in given("COPY") for name in shlex.split(line)[:-1]}
    assert all((CHECKOUT / name).exists() for name in copied)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    metadata = {project["project"]["readme"], *project["project"]["license-files"]}
    assert {"pyproject.toml", *wheel["packages"], *wheel["force-include"], *metadata} <= copied
    kept = (CHECKOUT / ".containerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(kept)


def test_it_installs_by_the_constraints_and_runs_without_root() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    [install] = [line for line in given("RUN") if line.startswith("pip install")]
    words = shlex.split(install)
    assert words[words.index("-c") + 1] == "constraints.txt"
    [extras] = re.findall(r"\.\[(.*)\]", install)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    order = [name for name, _ in STEPS]
    assert given("USER") == ["user"]
    assert order.index("USER") > max(place for place, name in enumerate(order) if name == "RUN")
    assert given("ENTRYPOINT") == ['["meld-lightning"]']
    assert "meld-lightning" in project["scripts"]
    [base] = given("FROM")
    minor = int(re.findall(r"python:3\.(\d+)-", base)[0])
    assert minor >= int(project["requires-python"].removeprefix(">=3."))


def test_the_command_that_it_states_runs_as_its_user() -> None:
    """Rootless podman maps another user than the one who owns the mounted folder, if not told."""
    [uid] = re.findall(r"useradd .*--uid (\d+)", TEXT)
    assert f"podman run --rm --userns=keep-id:uid={uid},gid={uid} -v " in TEXT

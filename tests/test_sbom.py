"""``make sbom``: what is in the image, and what the rest is, for those who must know."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.deployment import PROJECT, ROOT

from ostatok.local.jars import pinned

SECONDS_MAX = 90


def make(target: Path, **variables: str) -> bytes:
    """Run the command, and give what it wrote."""
    environment = {name: text for name, text in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, str(ROOT / "requirements" / "sbom.py"), str(target)],
        env={**environment, **variables},
        check=True,
        timeout=SECONDS_MAX,
        capture_output=True,
    )
    return target.read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file."""
    return make(tmp_path_factory.mktemp("sbom") / "ostatok.cdx.json")


@pytest.fixture(scope="module")
def document(written: bytes) -> dict[str, Any]:
    """The same, read."""
    found: dict[str, Any] = json.loads(written)
    return found


def of_scope(document: dict[str, Any], scope: str, kind: str = "pkg:pypi/") -> set[str]:
    """The components of a scope, as name==version."""
    return {
        f"{one['name']}=={one['version']}"
        for one in document["components"]
        if one["scope"] == scope and one["purl"].startswith(kind)
    }


def test_it_is_cyclonedx(written: bytes, document: dict[str, Any]) -> None:
    """The schema of CycloneDX 1.6 has nothing against it, and it is about this version of us."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(written.decode()) is None
    about = document["metadata"]["component"]
    assert (about["name"], about["version"]) == (PROJECT["name"], PROJECT["version"])
    assert about["licenses"][0]["license"]["id"] == PROJECT["license"]


def test_it_lists_what_the_lock_files_have(document: dict[str, Any]) -> None:
    """What the image installs and what builds it is service.txt, with the hashes it has there."""
    image, build = of_scope(document, "required"), of_scope(document, "excluded")
    assert {one.partition("==")[0] for one in build} >= {"hatchling", "editables"}
    assert any(one.startswith("opentelemetry-sdk==") for one in image)
    files = {
        f"{one['name']}=={one['version']}": one["externalReferences"][0]["hashes"]
        for one in document["components"]
        if one["purl"].startswith("pkg:pypi/")
    }
    text = (ROOT / "requirements" / "service.txt").read_text("utf-8")
    locked: set[str] = set()
    for block in re.split(r"\n(?=\S)", text.strip()):
        name, *rest = block.split()
        if "'win32'" not in rest:
            locked.add(name)
            hashes = {one["content"] for one in files[name]}
            assert hashes == set(re.findall(r"--hash=sha256:(\w+)", block)), name
    assert image | build == locked
    assert all(files.values())


def test_it_names_kafka_java_and_postgres(document: dict[str, Any]) -> None:
    """What runs beside us with ``ostatok up`` is in it, as optional, and the image's base too."""
    assert of_scope(document, "optional", "pkg:maven/") == {
        "{1}=={2}".format(*jar.coordinate.split(":")) for jar in pinned()
    }
    jars = {one["hashes"][0]["content"] for one in document["components"] if "hashes" in one}
    assert jars == {jar.sha256 for jar in pinned()}
    inside = {two["name"] for one in document["components"] for two in one.get("components", ())}
    assert inside == {"openjdk", "postgresql"}
    (base,) = of_scope(document, "required", "pkg:docker/")
    assert f"\nFROM {base.replace('==', ':')}\n" in (ROOT / "Dockerfile").read_text("utf-8")


def test_licences_are_named(document: dict[str, Any]) -> None:
    """Nearly every Python package says under which licence it comes: two here do not."""
    silent = {
        one["name"]
        for one in document["components"]
        if one["purl"].startswith("pkg:pypi/") and not one.get("licenses")
    }
    assert len(silent) <= 2, silent


def test_everybody_needed_is_there(document: dict[str, Any]) -> None:
    """Who needs whom is a whole graph: each package is needed by us or by one of ours."""
    graph = {one["ref"]: set(one.get("dependsOn", ())) for one in document["dependencies"]}
    waiting, seen = [document["metadata"]["component"]["bom-ref"]], set[str]()
    while waiting:
        ref = waiting.pop()
        if ref not in seen:
            seen.add(ref)
            waiting += graph[ref]
    build = {one["bom-ref"] for one in document["components"] if one["scope"] == "excluded"}
    assert {one["bom-ref"] for one in document["components"]} - seen == build


def test_the_same_lock_files_give_the_same_bytes(written: bytes, tmp_path: Path) -> None:
    """No time and no number of its own, unless SOURCE_DATE_EPOCH gives a time."""
    assert make(tmp_path / "again.json") == written
    dated = json.loads(make(tmp_path / "dated.json", SOURCE_DATE_EPOCH="1700000000"))
    assert dated["metadata"].pop("timestamp") == "2023-11-14T22:13:20+00:00"
    assert dated == json.loads(written)

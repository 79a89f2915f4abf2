"""What the overlays say is what Kubernetes and kustomize take: no field that they don't know."""

import shutil
import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes_validate import utils
from support.cluster import FOLDER, OVERLAYS, Installation
from support.custom_resources import SCHEMAS
from support.kustomize import Object, render

OLDEST = (1, 32)
"""The version of Kubernetes that docs/kubernetes.md asks for."""

VERSIONS = [
    version
    for version in dict.fromkeys(utils.all_versions())  # which names each twice
    if tuple(map(int, version.split(".")[:2])) >= OLDEST
]


@pytest.fixture(scope="module")
def schemas() -> Any:
    """Read each of the schemas, of megabytes, once."""
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


def check(one: Object, version: str) -> None:
    """See that an object fits its schema, with no field that isn't in it."""
    if one["kind"] in SCHEMAS:
        jsonschema.Draft202012Validator(SCHEMAS[one["kind"]]).validate(one)
    else:
        utils.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_its_schema(schemas: None, there: Installation, version: str) -> None:
    """From the oldest version that we ask for to the newest one that is known."""
    for one in there.objects:
        check(one, version)


@pytest.mark.parametrize(
    "kind", ["Deployment", "Job", "NetworkPolicy", "ScaledObject", "PodMonitor"]
)
def test_a_field_that_is_not_there_is_found(schemas: None, kind: str) -> None:
    """The checks are strict: a slip in a field's name is no valid object."""
    objects = Installation(render(FOLDER / "overlays" / "production"))
    one = deepcopy(objects.of_kind(kind)[0])
    check(one, VERSIONS[-1])
    one["spec"]["replicaz"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replicaz"):
        check(one, VERSIONS[-1])


def test_the_document_names_the_oldest_version() -> None:
    """Who reads it, and the base, learns which Kubernetes is needed."""
    text = (FOLDER.parents[1] / "docs" / "kubernetes.md").read_text("utf-8")
    base = (FOLDER / "base" / "kustomization.yaml").read_text("utf-8")
    oldest = ".".join(map(str, OLDEST))
    assert f"Kubernetes {oldest} or later" in text
    assert f"Kubernetes {oldest} or later" in base
    assert VERSIONS[0].startswith(f"{oldest}.")


def test_what_the_renderer_does_not_know_it_refuses(tmp_path: Path) -> None:
    """A field of kustomize's that was not read would make the tests blind."""
    said = {"kind": "Kustomization", "namePrefix": "my-", "resources": []}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(said), "utf-8")
    with pytest.raises(AssertionError, match="namePrefix"):
        render(tmp_path)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_kustomize_makes_the_same(folder: str) -> None:
    """Where kubectl is there, its kustomize gives what the tests look at, to the hash."""
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)

    def ordered(objects: list[Object]) -> list[Object]:
        return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))

    expected = ordered(list(yaml.safe_load_all(done.stdout)))
    assert ordered(render(FOLDER / folder)) == expected

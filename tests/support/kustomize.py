"""Renders what deploy/kubernetes/ uses of kustomize, and refuses whatever it does not know.

kustomize itself is not needed for the tests then; where kubectl is there, a test compares the two.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

FIELDS = {
    "Kustomization": {
        *("apiVersion", "kind", "namespace", "resources", "components"),
        *("images", "replicas", "configMapGenerator", "patches"),
    },
    "Component": {"apiVersion", "kind", "resources"},
}
"""What a kustomization may say, by its kind."""

MERGE_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}
"""The lists whose items a strategic merge tells apart, and by what."""


def render(folder: Path) -> list[Object]:
    """Give the objects of the kustomization in ``folder``.

    Raises AssertionError when it says what is not known here.
    """
    objects = _accumulated(folder)
    for one in objects:
        if "generated" in one:
            del one["generated"]
            name = one["metadata"]["name"]
            one["metadata"]["name"] = f"{name}-{_hash(one)}"
            _refer(objects, name, one["metadata"]["name"])
    return objects


def _accumulated(folder: Path) -> list[Object]:
    (said,) = _documents(folder / "kustomization.yaml")
    assert set(said) <= FIELDS[said["kind"]], f"{folder}: {set(said) - FIELDS[said['kind']]}"
    objects: list[Object] = []
    for resource in (*said.get("resources", ()), *said.get("components", ())):
        path = folder / resource
        objects += _accumulated(path) if path.is_dir() else _documents(path)
    for generator in said.get("configMapGenerator", ()):
        _generate(objects, **generator)
    for patch in said.get("patches", ()):
        _patch(objects, _documents(folder / patch["path"]), **patch)
    for one in objects:
        if "namespace" in said:
            _place(one, said["namespace"])
        for replicas in said.get("replicas", ()):
            _scale(one, **replicas)
        for image in said.get("images", ()):
            for container in containers(one):
                _tag(container, **image)
    return objects


def _documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one is not None]


def containers(one: Object) -> list[Object]:
    """Give the containers of a Deployment's or a Job's pods; none of other kinds."""
    if one["kind"] not in {"Deployment", "Job"}:
        return []
    found: list[Object] = one["spec"]["template"]["spec"]["containers"]
    return found


def _generate(
    objects: list[Object],
    *,
    name: str,
    literals: list[str],
    behavior: str = "create",
    options: Object | None = None,
) -> None:
    data = dict(literal.split("=", 1) for literal in literals)
    assert len(data) == len(literals), f"{name}: one of its literals comes twice"
    if behavior == "merge":
        (there,) = (one for one in objects if one.get("generated") == name)
        there["data"] |= data
        return
    assert behavior == "create", behavior
    metadata = {"name": name, **(options or {})}
    objects.append(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        | {"generated": name}
    )


def _hash(config_map: Object) -> str:
    """Ten characters that change with what a ConfigMap holds, as kustomize writes them."""
    hashed = {"data": config_map["data"], "kind": config_map["kind"], "name": ""}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert not re.search("[<>&]", text), "Go writes these otherwise"
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))


def _refer(objects: list[Object], before: str, after: str) -> None:
    for one in objects:
        for container in containers(one):
            for source in container.get("envFrom", ()):
                if source.get("configMapRef", {}).get("name") == before:
                    source["configMapRef"]["name"] = after


def _place(one: Object, namespace: str) -> None:
    if one["kind"] == "Namespace":
        assert one["metadata"]["name"] == namespace, "kustomize would rename it"
    else:
        one["metadata"]["namespace"] = namespace


def _scale(one: Object, *, name: str, count: int) -> None:
    if one["kind"] == "Deployment" and one["metadata"]["name"] == name:
        one["spec"]["replicas"] = count


def _tag(container: Object, *, name: str, newName: str, newTag: str) -> None:  # noqa: N803
    image, _, _tag = container["image"].partition(":")
    if image == name:
        container["image"] = f"{newName}:{newTag}"


def _patch(
    objects: list[Object], patches: list[Any], *, path: str, target: Object | None = None
) -> None:
    if target is None:
        for patch in patches:
            wanted = {"kind": patch["kind"], "name": patch["metadata"]["name"]}
            for one in _chosen(objects, path, **wanted):
                _merge(one, patch)
        return
    (operations,) = patches
    for one in _chosen(objects, path, **target):
        # Each gets values of its own: a later patch may change one of them.
        for operation in deepcopy(operations):
            _operate(one, **operation)


def _chosen(
    objects: list[Object],
    path: str,
    *,
    kind: str,
    name: str = ".*",
    labelSelector: str = "",  # noqa: N803
) -> Iterator[Object]:
    label, _, value = labelSelector.partition("=")
    found = [
        one
        for one in objects
        if re.fullmatch(kind, one["kind"])
        and re.fullmatch(name, one["metadata"]["name"])
        and (not label or one["metadata"]["labels"].get(label) == value)
    ]
    assert found, f"{path} patches nothing"
    yield from found


def _merge(into: Object, patch: Object) -> None:
    """Merge strategically: mappings by key, the lists of MERGE_KEYS by item, others as a whole."""
    for key, value in patch.items():
        assert value is not None, f"{key}: taking away is not known here"
        assert not key.startswith("$"), f"{key}: no directive is known here"
        if isinstance(value, dict) and key in into:
            _merge(into[key], value)
        elif (
            key in into and isinstance(value, list) and any(isinstance(one, dict) for one in value)
        ):
            by = MERGE_KEYS[key]
            there = {one[by]: one for one in into[key]}
            for one in value:
                assert one[by] in there, f"{key}: adding an item is not known here"
                _merge(there[one[by]], one)
        else:
            into[key] = value


def _operate(one: Object, *, op: str, path: str, value: Any) -> None:
    """Do one operation of a JSON patch (RFC 6902)."""
    *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])
    place: Any = one
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key: Any = int(last) if isinstance(place, list) and last != "-" else last
    do: Callable[..., None] = {"test": _test, "replace": _replace, "add": _add}[op]
    do(place, key, value, path)


def _test(place: Any, key: Any, value: Any, path: str) -> None:
    assert place[key] == value, path


def _replace(place: Any, key: Any, value: Any, path: str) -> None:
    assert isinstance(place, list) or key in place, path
    place[key] = value


def _add(place: Any, key: Any, value: Any, path: str) -> None:
    if isinstance(place, list):
        assert key == "-", f"{path}: adding to a list is known at its end alone"
        place.append(value)
        return
    place[key] = value

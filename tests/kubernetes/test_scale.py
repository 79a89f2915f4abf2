"""How many pods there are, what finds and protects them, and who scales them by what."""

import promql_parser
import pytest
from support.cluster import KINDS, Installation, installation

from ostatok.settings import Settings
from ostatok_stream import metrics

POSTGRES_CONNECTIONS = 97
"""Of Postgres's default of 100 three are kept for superusers."""

SEVERAL = {"ostatok": list(KINDS), "ostatok-metrics": ["http", "stream"]}
"""What is named for more than one part."""


def test_selectors_find_what_they_are_named_for(there: Installation) -> None:
    """Each means the pods of its part, and no more; http and stream have all they need."""
    kinds: dict[str, set[str]] = {part: set() for part in KINDS}
    for one in there.objects:
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector is not None:
            name = one["metadata"]["name"]
            means = {"matchLabels": selector} if one["kind"] == "Service" else selector
            parts = there.selected(means)
            assert parts == SEVERAL.get(name, [name.removeprefix("ostatok-")])
            for part in parts:
                kinds[part].add(one["kind"])
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= kinds["http"]
    assert {"Deployment", "PodDisruptionBudget", "NetworkPolicy"} <= kinds["stream"]


@pytest.mark.parametrize("part", ["http", "stream"])
def test_pods_are_spread(there: Installation, part: str) -> None:
    """Those of one version are spread over zones and machines."""
    spread = there.pod(part)["topologySpreadConstraints"]
    keys = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert [one["topologyKey"] for one in spread] == keys
    for one in spread:
        assert there.selected(one["labelSelector"]) == [part]
        assert one["matchLabelKeys"] == ["pod-template-hash"]


def scales(there: Installation) -> dict[str, tuple[int, int]]:
    """Give the least and the most pods of each Deployment."""
    found: dict[str, tuple[int, int]] = {}
    for deployment in there.of_kind("Deployment"):
        if (replicas := deployment["spec"].get("replicas")) is not None:
            found[deployment["metadata"]["name"]] = (replicas, replicas)
    for kind, least, most in (
        ("HorizontalPodAutoscaler", "minReplicas", "maxReplicas"),
        ("ScaledObject", "minReplicaCount", "maxReplicaCount"),
    ):
        for scaler in there.of_kind(kind):
            spec = scaler["spec"]
            target = spec["scaleTargetRef"]
            assert (target["apiVersion"], target["kind"]) == ("apps/v1", "Deployment")
            assert target["name"] not in found, "two would say how many there are"
            found[target["name"]] = (spec[least], spec[most])
    return found


@pytest.mark.parametrize("part", ["stream"])
def test_there_are_as_many_as_can_work(there: Installation, settings: Settings) -> None:
    """No worker is without a partition, and Postgres has connections for all, also in an update."""
    found = scales(there)
    assert settings.topic_partitions == Settings.model_fields["topic_partitions"].default
    assert found["ostatok-stream"][1] <= settings.topic_partitions
    surging = -(-found["ostatok-http"][1] * 5 // 4)
    http = surging * settings.database_pool_connections
    stream = (found["ostatok-stream"][1] + 1) * (settings.stream_connections + 1)
    assert http + stream < POSTGRES_CONNECTIONS


def test_one_may_always_go(there: Installation) -> None:
    """There are two of each, one at a time is taken away, and an update takes none."""
    found = scales(there)
    assert set(found) == {"ostatok-http", "ostatok-stream"}
    for name, (least, most) in found.items():
        assert 2 <= least <= most
        budget = there.named("PodDisruptionBudget", name)["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        update = there.named("Deployment", name)["spec"]["strategy"]["rollingUpdate"]
        assert update["maxUnavailable"] == 0
    surge = there.named("Deployment", "ostatok-http")["spec"]["strategy"]["rollingUpdate"]
    assert surge["maxSurge"] == "25%"


def test_http_is_scaled_by_the_core_that_a_process_has(there: Installation) -> None:
    """The pod's own use of processors counts, and its limit is no bar to it."""
    (metric,) = there.named("HorizontalPodAutoscaler", "ostatok-http")["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"] == {"type": "AverageValue", "averageValue": "600m"}
    assert there.container("http")["resources"]["limits"]["cpu"] == "2"


def test_keda_asks_for_a_metric_that_is_there() -> None:
    """The lag that scales the workers is the gauge they have, by its labels, in their namespace."""
    scaled = installation("production").named("ScaledObject", "ostatok-stream")
    (trigger,) = scaled["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    summed = promql_parser.parse(query)
    assert isinstance(summed, promql_parser.AggregateExpr)
    newest = summed.expr
    assert isinstance(newest, promql_parser.AggregateExpr)
    gauge = newest.expr
    assert isinstance(gauge, promql_parser.VectorSelector)
    assert (str(summed.op), str(newest.op)) == ("sum", "max")
    assert gauge.name == metrics.lag_records._name
    assert newest.modifier is not None
    assert newest.modifier.labels == list(metrics.lag_records._labelnames)
    assert f'{{namespace="{scaled["metadata"]["namespace"]}"}}' in query
    assert trigger["metadata"]["ignoreNullValues"] == "false"

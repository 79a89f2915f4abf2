"""Who reaches whom, and what of it faces the internet."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.cluster import KINDS, Installation, installation
from support.deployment import http_paths

from ostatok.settings import Settings
from ostatok_http.fast_path import WEBHOOK

DNS_PORT = 53


def test_only_who_is_labelled_comes_in(there: Installation) -> None:
    """All pods are closed but for http to clients, and for both to who reads /metrics."""
    policies = {one["metadata"]["name"]: one["spec"] for one in there.of_kind("NetworkPolicy")}
    assert set(policies) == {"ostatok", "ostatok-http", "ostatok-metrics"}
    shut = policies["ostatok"]
    assert there.selected(shut["podSelector"]) == list(KINDS)
    assert "Ingress" in shut["policyTypes"]
    assert "ingress" not in shut
    client, reader = ({"matchLabels": {f"ostatok-{who}": "true"}} for who in ("client", "metrics"))
    opened = {
        "ostatok-http": [{"podSelector": client}, {"namespaceSelector": client}],
        "ostatok-metrics": [{"namespaceSelector": reader}],
    }
    for name, who in opened.items():
        (rule,) = policies[name]["ingress"]
        assert rule["from"] == who
        ports = there.ports(there.selected(policies[name]["podSelector"]))
        assert rule["ports"] == [{"port": port, "protocol": "TCP"} for port in ports]


@pytest.mark.parametrize("part", ["stream"])
def test_what_is_asked_may_be_asked(there: Installation, settings: Settings) -> None:
    """The ports that pods may reach are those in the settings, and DNS; no other."""
    brokers = settings.kafka_bootstrap_servers.split(",")
    expected: set[Any] = {(int(broker.rpartition(":")[2]), "TCP") for broker in brokers}
    expected.add((urlsplit(settings.database_url.get_secret_value()).port, "TCP"))
    expected |= {(DNS_PORT, "UDP"), (DNS_PORT, "TCP")}
    rules = there.named("NetworkPolicy", "ostatok")["spec"]["egress"]
    assert {(one["port"], one["protocol"]) for rule in rules for one in rule["ports"]} == expected


def test_the_service_leads_to_http(there: Installation) -> None:
    """The Service's one port is the one that http's pods call so."""
    (port,) = there.named("Service", "ostatok-http")["spec"]["ports"]
    assert port["targetPort"] in there.ports(["http"])


def test_the_internet_reaches_the_webhook_alone() -> None:
    """The Ingress has exact paths, those of the webhook; by TLS, to a port that the Service has."""
    there = installation("production")
    (ingress,) = there.of_kind("Ingress")
    (rule,) = ingress["spec"]["rules"]
    (tls,) = ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    paths = rule["http"]["paths"]
    assert {one["pathType"] for one in paths} == {"Exact"}
    bank = WEBHOOK.format("bank")
    assert [one["path"] for one in paths] == [f"{bank}/", bank]
    assert {one["path"] for one in paths} <= http_paths()
    for one in paths:
        service = one["backend"]["service"]
        ports = there.named("Service", service["name"])["spec"]["ports"]
        assert service["port"]["name"] in {port["name"] for port in ports}


def test_everything_is_in_one_namespace(there: Installation) -> None:
    """All is in the namespace that the overlay makes, whose pods may do no more than ours."""
    (namespace,) = there.of_kind("Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}
    others = [one for one in there.objects if one is not namespace]
    assert {one["metadata"]["namespace"] for one in others} == {namespace["metadata"]["name"]}
    assert not there.of_kind("Secret")


def test_hosts_of_the_production_overlay_belong_to_nobody() -> None:
    """An overlay that was not changed reaches no one's servers."""
    there = installation("production")
    values = there.environment("http").values()
    hosts = {host for value in values for host in re.findall(r"[\w.-]+\.[a-z]+(?=:\d)", value)}
    hosts |= {one["image"].partition("/")[0] for one in map(there.container, KINDS)}
    assert hosts
    assert all(host.endswith(".example.com") for host in hosts)

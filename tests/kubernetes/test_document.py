"""docs/kubernetes.md: its commands make what the overlays ask for, in the right order."""

import re
import shlex
from itertools import pairwise

from support.cluster import KINDS, Installation, installation
from support.deployment import ROOT
from support.kustomize import Object

TEXT = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


def commands(*words: str) -> list[list[str]]:
    """Give the commands that have all these words."""
    return [one for one in COMMANDS if set(words) <= set(one)]


def chosen(there: Installation, selector: str) -> list[Object]:
    """Give the objects that a label selector of the document means."""
    found = re.fullmatch(r"([a-z./]+)( in |!=)\(?([a-z, ]+)\)?", selector)
    assert found
    key, how, values = found.groups()
    return [
        one
        for one in there.objects
        if (one["metadata"]["labels"].get(key) in values.split(", ")) == (how == " in ")
    ]


def test_what_it_names_is_there() -> None:
    """Folders, files, Deployments, the Job and the namespace are those of the overlay."""
    there = installation("production")
    names = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in there.objects}
    (namespace,) = there.of_kind("Namespace")
    for command in COMMANDS:
        assert command[0] == "kubectl"
        for word, after in pairwise(command):
            if word in {"-k", "-f"}:
                assert (ROOT / after).exists(), after
            elif word == "-n":
                assert after == namespace["metadata"]["name"]
        assert {one for one in command if re.match("(deployment|job)/", one)} <= names
    for folder in re.findall(r"^\| `([a-z/]+)` \|", TEXT, re.MULTILINE):
        assert (ROOT / "deploy" / "kubernetes" / folder / "kustomization.yaml").is_file()


def test_it_makes_every_secret() -> None:
    """Each Secret that is mounted, or serves TLS, is made by one command, with all its keys."""
    there = installation("production")
    wanted: dict[str, set[str]] = {}
    for part in KINDS:
        for name, key, _ in there.items(part):
            wanted.setdefault(name, set()).add(key)
    made = {}
    for command in commands("secret", "generic"):
        name = command[command.index("generic") + 1]
        keys = [re.match(r"--from-file=([^=]+)=", word) for word in command]
        made[name] = {key[1] for key in keys if key}
    assert made == wanted
    (tls,) = commands("secret", "tls")
    (ingress,) = there.of_kind("Ingress")
    assert ingress["spec"]["tls"][0]["secretName"] in tls


def test_migrate_comes_first() -> None:
    """First the Job, with its settings and the network's rules; all the rest when it is done."""
    there = installation("production")
    (delete,), (wait,) = commands("delete"), commands("wait")
    first, last = (command for command in commands("apply") if "-l" in command)
    before = chosen(there, first[-1])
    kinds = ["Job", "NetworkPolicy", "ConfigMap"]
    assert [one["kind"] for one in before] == kinds
    rest = chosen(there, last[-1])
    assert [one["kind"] for one in there.objects if one not in rest] == ["Job"]
    places = [COMMANDS.index(one) for one in (delete, first, wait, last)]
    assert places == sorted(places)
    assert delete[-2] in wait[-1]


def test_it_labels_who_may_come_in() -> None:
    """The labels of namespaces in its commands are those that the network policies ask for."""
    there = installation("production")
    asked = {
        f"{name}={value}"
        for policy in there.of_kind("NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for who in rule["from"]
        for name, value in next(iter(who.values()))["matchLabels"].items()
    }
    assert {command[-1] for command in commands("label", "namespace")} == asked


def test_its_links_lead_somewhere() -> None:
    """Every file it points at is there, with the heading."""
    for target, heading in re.findall(r"\]\(([\w./]+\.md)#?([\w-]*)\)", TEXT):
        text = (ROOT / "docs" / target).read_text("utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in slugs, (target, heading)


def test_its_numbers_are_the_overlays() -> None:
    """How many there are at the most stands in it as it is."""
    there = installation("production")
    http = there.named("HorizontalPodAutoscaler", "ostatok-http")["spec"]
    stream = there.named("ScaledObject", "ostatok-stream")["spec"]
    assert f"({http['minReplicas']} in `production`) | {http['maxReplicas']} |" in TEXT
    (trigger,) = stream["triggers"]
    assert f"{stream['minReplicaCount']} pods | {stream['maxReplicaCount']}, " in TEXT
    assert f"each {int(trigger['metadata']['threshold']):,} records" in TEXT

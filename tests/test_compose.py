"""docker-compose.yml and Dockerfile, held to what the code says, with no Docker needed."""

import asyncio
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from packaging.specifiers import SpecifierSet
from support.deployment import (
    PROJECT,
    ROOT,
    WRITABLE,
    assert_is_no_secret,
    assert_is_setting,
    http_paths,
    settings_from,
    stream_paths,
)

from ostatok.cli import main
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROFILED = {"kafka-ui": "ui", "prometheus": "observability", "grafana": "observability"}
OURS = [name for name, service in SERVICES.items() if "build" in service]
SettingsOf = Callable[[str], Settings]


def read_dockerfile() -> tuple[list[tuple[str, str]], str]:
    """Give the instructions, and the text of the one here-document."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    heredoc = re.search(r"<<'EOF' [^\n]+\n(.*?)^EOF\n", text, re.DOTALL | re.MULTILINE)
    assert heredoc, "the Dockerfile has no here-document any more"
    text = text.replace(heredoc[1] + "EOF\n", "")
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name.upper(), rest) for name, rest in lines], heredoc[1]


INSTRUCTIONS, HEALTHY = read_dockerfile()


def given(instruction: str) -> list[str]:
    """Every use of an instruction of the Dockerfile."""
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


@pytest.fixture
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsOf:
    """Read the settings as a container of ours does, with a password in its secret file."""
    password = tmp_path / "password"
    password.write_text("s3cret\n", encoding="ascii")

    def read(service: str) -> Settings:
        environment = {
            variable: value
            if variable.removeprefix(PREFIX).lower() in Settings.model_fields
            else str(password)
            for variable, value in SERVICES[service]["environment"].items()
        }
        return settings_from(environment, monkeypatch)

    return read


@pytest.mark.parametrize("service", OURS)
def test_the_variables_of_compose_are_settings(service: str, settings_of: SettingsOf) -> None:
    """Every variable our containers get is a setting, or the file of a secret one, and valid."""
    for variable in SERVICES[service]["environment"]:
        assert_is_setting(variable)
    assert "password=s3cret" in settings_of(service).database_conninfo


def test_our_services_run_our_commands() -> None:
    """What our image is told to run is a command of `ostatok`, and each deployed part is there."""
    assert given("ENTRYPOINT") == ['["ostatok"]']
    assert PROJECT["scripts"]["ostatok"] == "ostatok.cli:main"
    assert sorted(OURS) == ["http", "migrate", "stream"]
    for name in OURS:
        assert "entrypoint" not in SERVICES[name]
        assert SERVICES[name]["command"] == [name]
        assert name in main.commands


@pytest.mark.parametrize(
    ("service", "port", "paths"),
    [("http", "http_port", http_paths()), ("stream", "stream_metrics_port", stream_paths())],
)
def test_health_checks_ask_what_answers(
    service: str, port: str, paths: set[str], settings_of: SettingsOf
) -> None:
    """A container is asked at the port it listens on and at an address that exists."""
    command, program, asked_port, asked_path = SERVICES[service]["healthcheck"]["test"]
    assert (command, program) == ("CMD", "healthy")
    assert int(asked_port) == getattr(settings_of(service), port)
    assert asked_path == "/readyz"
    assert {"/healthz", "/readyz", "/metrics"} <= paths
    (own,) = given("HEALTHCHECK")
    default = Settings.model_fields["http_port"].default
    assert own.endswith(f' CMD healthy "${{OSTATOK_HTTP_PORT:-{default}}}" /healthz')


async def healthy(port: int, path: str) -> int | None:
    """Run the program of the image's health checks."""
    command = [sys.executable, "-I", "-c", HEALTHY, str(port), path]
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    return await process.wait()


async def test_the_health_check_believes_a_200_alone() -> None:
    """The image's little program exits 0 on a 200, and 1 on a 503 and when nothing listens."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.path == "/healthz" else 503)

    app = web.Application()
    app.router.add_get("/{path}", answer)
    async with TestServer(app) as server:
        port = server.port or 0
        assert await healthy(port, "/healthz") == 0
        assert await healthy(port, "/readyz") == 1
    assert await healthy(port, "/healthz") == 1


def test_only_this_machine_reaches_the_published_ports(settings_of: SettingsOf) -> None:
    """Every published port is bound to loopback, and the API's is the one the service has."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert SERVICES["http"]["ports"] == [f"127.0.0.1:8000:{settings_of('http').http_port}"]
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["http", *PROFILED]


def test_our_services_listen_and_drain(settings_of: SettingsOf) -> None:
    """They listen on every address of their container, and may finish what they have in hand."""
    http, stream = settings_of("http"), settings_of("stream")
    assert http.http_host == stream.stream_metrics_host == "0.0.0.0"
    assert given("EXPOSE") == [f"{http.http_port} {stream.stream_metrics_port}"]
    grace = SERVICES["http"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > 2 * http.http_drain_seconds


def test_every_image_is_pinned() -> None:
    """No tag moves by itself: each has a patch number, the second one of PostgreSQL's."""
    images = {name: service["image"] for name, service in SERVICES.items()}
    for name, image in images.items():
        numbers = 2 if image.startswith("postgres:") else 3
        assert re.fullmatch(r"[a-z/-]+:v?\d+" + r"\.\d+" * (numbers - 1), image), name
    assert {images[name] for name in OURS} == {f"ostatok:{PROJECT['version']}"}
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in " ".join(given("LABEL"))


def test_the_base_image_has_a_python_for_us() -> None:
    """Every stage starts from one and the same Python, which `requires-python` allows."""
    (base,) = {rest.split()[0] for rest in given("FROM")}
    found = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-[a-z]+", base)
    assert found
    assert found[1] in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {found[1][:4]}" in PROJECT["classifiers"]


def test_the_image_is_built_from_what_is_there() -> None:
    """What is copied into the image exists, and .dockerignore lets it through."""
    copied = [rest.split()[:-1] for rest in given("COPY") if not rest.startswith("--")]
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:] for line in ignore if line.startswith("!")]
    assert ignore[1] == "*"
    assert sorted(source for sources in copied for source in sources) == sorted(let_in)
    assert all((ROOT / path).exists() for path in let_in)
    (install,) = [run for run in given("RUN") if "--require-hashes" in run]
    assert "-r requirements/service.txt" in install
    # What the lock file is made for is what is installed in the end, the extra included.
    assert any("--find-links /wheels 'ostatok[telemetry]'" in run for run in given("RUN"))


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The image ends as a user with a number that isn't root's, where it may write."""
    names = [name for name, _ in INSTRUCTIONS]
    assert "FROM" not in names[names.index("USER") :]
    (user,) = given("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    assert given("WORKDIR")[-1] == WRITABLE
    assert given("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("service", OURS)
def test_our_containers_may_do_little(service: str) -> None:
    """Our containers write to /tmp alone and have no privilege to gain."""
    container = SERVICES[service]
    assert container["read_only"] is True
    assert [mount.partition(":")[0] for mount in container["tmpfs"]] == [WRITABLE]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert all(mount.endswith(":ro") for mount in container["volumes"])


def test_what_must_survive_lies_in_named_volumes() -> None:
    """Every volume is declared and used, and the journal and the ledger are on one each."""
    used = {
        mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())
    }
    assert used == set(COMPOSE["volumes"])
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]
    kafka = SERVICES["kafka"]
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]


def test_no_secret_stands_in_the_file() -> None:
    """A variable of a secret names a file, and no URL has a password in it."""
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert_is_no_secret(variable, str(value))
            assert "${" not in str(value), variable


def test_our_services_reach_their_neighbours(settings_of: SettingsOf) -> None:
    """The addresses in our settings are those that Postgres and Kafka are told to have."""
    kafka, postgres = SERVICES["kafka"]["environment"], SERVICES["postgres"]["environment"]
    for name in OURS:
        brokers = settings_of(name).kafka_bootstrap_servers
        assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{brokers}"
        url = settings_of(name).database_url.get_secret_value()
        user, database = settings_of(name).database_roles[name], postgres["POSTGRES_DB"]
        assert url == f"postgresql://{user}@postgres:5432/{database}"
    assert settings_of("migrate").database_role_migrate == postgres["POSTGRES_USER"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert SERVICES["kafka-ui"]["environment"]["KAFKA_CLUSTERS_0_READONLY"] == "true"


def test_parts_start_when_what_they_need_is_there() -> None:
    """Migrations wait for Postgres and Kafka, the services for the migrations."""
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            one_shot = SERVICES[needed]["restart"] == "no"
            condition = "service_completed_successfully" if one_shot else "service_healthy"
            assert how == {"condition": condition}, (name, needed)
            assert one_shot or "healthcheck" in SERVICES[needed]
    assert set(SERVICES["migrate"]["depends_on"]) == {"postgres", "kafka", "roles"}
    for name in ("http", "stream"):
        assert "migrate" in SERVICES[name]["depends_on"]
        assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES["stream"]["deploy"]["replicas"] == 2
    assert [name for name in SERVICES if "profiles" in SERVICES[name]] == list(PROFILED)


def has_compose() -> bool:
    """Whether `docker compose` is here; it needs no engine for what is asked of it."""
    asked = ["docker", "compose", "version"]
    found = shutil.which("docker")
    return found is not None and not subprocess.call(asked, stdout=DEVNULL, stderr=DEVNULL)


@pytest.mark.skipif(not has_compose(), reason="no docker with compose here")
def test_compose_itself_accepts_the_file() -> None:
    """Where Compose is there, it finds nothing to complain about."""
    profiles = [word for one in set(PROFILED.values()) for word in ("--profile", one)]
    command = ["docker", "compose", *profiles, "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)

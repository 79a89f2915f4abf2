"""The roles and passwords of docker-compose.yml: its own scripts run, on a real Postgres."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.deployment import ROOT, settings_from

from ostatok.local.ports import free_port
from ostatok.local.postgres import EmbeddedPostgres, programs
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))[
    "services"
]
VOLUMES = {"migrate": "password", "stream": "password-stream", "http": "password-http"}
"""Part → where its password is kept."""

FILE = "/run/ostatok/postgres-password"


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of its own: the roles of one are those of all its databases."""
    folder = Path(tempfile.mkdtemp(prefix="ostatok-test-"))
    folder.chmod(0o711)  # Postgres does not run as root: its user must get through to its data.
    server = EmbeddedPostgres(folder / "postgres", free_port())
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())
    shutil.rmtree(folder)


def script_of(service: str, folder: Path) -> list[str]:
    """The command of a service, what it mounts being folders in ``folder``."""
    (script,) = SERVICES[service]["command"]
    script = script.replace("$$", "$")
    for mount in SERVICES[service]["volumes"]:
        volume, mounted, *_ = mount.split(":")
        (folder / volume).mkdir(exist_ok=True)
        script = re.sub(rf"{mounted}(?![\w-])", str(folder / volume), script)
    return [*SERVICES[service]["entrypoint"], script]


def settings_of(part: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """The settings of a part, with its password in a file."""
    file = folder / VOLUMES[part] / "postgres-password"
    environment = {**SERVICES[part]["environment"], f"{PREFIX}DATABASE_PASSWORD_FILE": str(file)}
    return settings_from(environment, monkeypatch)


def test_the_passwords_are_made_up_once(tmp_path: Path) -> None:
    """The first start writes long random ones, later ones only what is missing."""
    command = script_of("password", tmp_path)
    subprocess.run(command, check=True, timeout=30)
    files = [tmp_path / volume / "postgres-password" for volume in VOLUMES.values()]
    first = [file.read_text("ascii") for file in files]
    assert len(set(first)) == len(VOLUMES)
    for file, text in zip(files, first, strict=True):
        assert re.fullmatch(r"[0-9a-f]{64}", text)
        assert file.stat().st_mode & 0o777 == 0o444
    files[2].unlink()
    subprocess.run(command, check=True, timeout=30)
    assert [file.read_text("ascii") for file in files[:2]] == first[:2]
    assert files[2].read_text("ascii") not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(VOLUMES.values())


def test_each_part_has_the_password_of_its_role_alone() -> None:
    """Who gets hold of http reads no other's; the owner's is for who needs it."""
    for part, volume in VOLUMES.items():
        assert SERVICES[part]["volumes"] == [f"{volume}:/run/ostatok:ro"]
        assert SERVICES[part]["environment"][f"{PREFIX}DATABASE_PASSWORD_FILE"] == FILE
    mounted = "password:/run/ostatok:ro"
    who = [name for name, service in SERVICES.items() if mounted in service.get("volumes", ())]
    assert who == ["postgres", "roles", "migrate"]
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == FILE
    assert SERVICES["roles"]["image"] == SERVICES["postgres"]["image"]


def test_the_roles_are_made_and_let_in(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each start; then each part gets in as its role, which can make nothing."""
    subprocess.run(script_of("password", tmp_path), check=True, timeout=30)
    owners = tmp_path / "password" / "postgres-password"
    owners.unlink()
    owners.write_text(postgres.password_of("migrate"), "ascii")
    *shell, script = script_of("roles", tmp_path)
    local = script.replace("--host postgres", f"--host 127.0.0.1 --port {postgres.port}")
    environment = {"PATH": f"{programs()}:{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run([*shell, local], check=True, timeout=30, env=environment)
    for part in VOLUMES:
        settings = settings_of(part, monkeypatch, tmp_path)
        given = conninfo_to_dict(settings.database_conninfo)
        assert given["host"] == "postgres"
        here = {"host": "127.0.0.1", "port": str(postgres.port)}
        target = make_conninfo(settings.database_conninfo, **here)
        with psycopg.connect(target) as connection:
            (row,) = connection.execute(
                "SELECT rolname, rolcreaterole, "
                "has_database_privilege(current_database(), 'TEMPORARY') "
                "FROM pg_roles WHERE rolname = current_user"
            ).fetchall()
        assert row == (settings.database_roles[part], part == "migrate", part == "migrate")

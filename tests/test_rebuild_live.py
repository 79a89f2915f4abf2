"""Rebuilds beside a running system: swapped, interrupted and killed."""

import asyncio
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from support.journal import INNS, apply_topic, make_topic, webhook
from support.payments import document
from support.rebuilding import SECOND, rebuild, schemas
from support.services import Services
from support.system import System, wait_until

from ostatok.local.ports import free_port
from ostatok_db.connection import conninfo
from ostatok_stream.rebuild import Wanted

INN = INNS[0]


def test_swaps_under_live_webhooks(services: Services, tmp_path: Path) -> None:
    """No webhook is lost, no batch torn, no worker ends; balances are answered all the while."""
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        workers = [system.start_stream(), system.start_stream(free_port())]
        url = f"http://127.0.0.1:{system.settings.http_port}"
        options = ("--url", url, "--webhooks", "8000", "--organizations", "50", "--rate", "600")
        bank = system.start("simulate", *options, log="bank")
        swaps = 0
        while bank.poll() is None:
            assert rebuild(system.settings, Wanted(swap=True)).differences == []
            swaps += 1
        assert bank.returncode == 0, (tmp_path / "bank").read_text(encoding="utf-8")
        assert swaps > 1
        assert [worker.poll() for worker in workers] == [None, None]
        assert "Everything agrees." in system.run("audit")


@pytest.mark.long
def test_one_that_is_killed_at_any_moment_leaves_a_whole_ledger(
    services: Services, tmp_path: Path
) -> None:
    """Either one, with everything in it; the next rebuild works."""
    pick = random.Random(1)
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        worker = system.start_stream()
        url = f"http://127.0.0.1:{system.settings.http_port}"
        options = ("--url", url, "--webhooks", "4000", "--organizations", "50", "--rate", "400")
        bank = system.start("simulate", *options, log="bank")
        while bank.poll() is None:
            killed = system.start("rebuild", "--swap", log="killed")
            with suppress(subprocess.TimeoutExpired):
                killed.wait(pick.uniform(0.5, 2.5))
            killed.kill()
            killed.wait()
            if "ostatok_before" in schemas(system.settings):
                # Killed between the swap and the end of what it replaced.
                with psycopg.connect(conninfo(system.settings, name="test")) as connection:
                    connection.execute("DROP SCHEMA IF EXISTS ostatok_before CASCADE")
        assert bank.returncode == 0, (tmp_path / "bank").read_text(encoding="utf-8")
        assert worker.poll() is None
        # The server ends the killed one's session once it has done what it was asked last.
        sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'ostatok rebuild'"
        wait_until(lambda: not system.sql(sessions), "no session is left")
        assert rebuild(system.settings, Wanted(swap=True)).differences == []
        assert "Everything agrees." in system.run("audit")


def test_ctrl_c_is_safe_and_it_goes_on(services: Services, tmp_path: Path) -> None:
    """What is built is kept; the same command does the rest."""
    settings = services.new_settings(stream_batch_records_max=1_000, stream_connections=1)
    make_topic(settings, [webhook(document(payer_inn=INN, amount=1)) for _ in range(20_000)])
    asyncio.run(apply_topic(settings))
    built = f'SELECT sum(next_offset) FROM "{SECOND}".applied_offset'
    with System(settings, tmp_path) as system:
        first = system.start("rebuild", log="said")

        def some_is_built() -> bool:
            assert first.poll() is None
            try:
                return bool(system.sql(built)[0][0])
            except psycopg.errors.UndefinedTable:
                return False

        wait_until(some_is_built, "some is built")
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 130
        said = (tmp_path / "said").read_text(encoding="utf-8")
        assert "The same command goes on from here." in said
        assert 0 < system.sql(built)[0][0] < 20_000
        assert "20,000 records: 0 differences." in system.run("rebuild")
        assert "is gone" in system.run("rebuild", "--drop")
        assert SECOND not in schemas(settings)

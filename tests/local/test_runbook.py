"""Each recipe of docs/recovery.md, on a running `ostatok up`.

One system goes through all of them, as each must leave it whole. `make test` runs those whose
parts no other test runs; the rest is long.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.foreign import produce
from support.journal import webhook
from support.payments import document
from support.system import request, wait_until
from support.whole import Whole, data_folder, finished, program, running_up

from ostatok.local.bodies import organization_inn
from ostatok.settings import Settings

COMMAND_SECONDS_MAX = 300
APPLIED_SECONDS_MAX = 120
FEW, MANY = 2_000, 100_000
UP = (sys.executable, "-m", "ostatok", "up")

pytestmark = pytest.mark.timeout(900)


class Operator:
    """Someone at the keyboard, beside a running system."""

    def __init__(self, whole: Whole) -> None:
        self.whole = whole
        self.kept = whole.folder.parent
        run = whole.run
        self.settings = Settings(
            database_url=run["database_url"],
            kafka_bootstrap_servers=run["kafka"],
            topic=run["topic"],
        )

    def tries(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command."""
        return subprocess.run(
            [sys.executable, "-m", "ostatok", *command, "--data", str(self.whole.folder)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def runs(self, *command: str) -> str:
        """Run a command that must end well, and give what it said."""
        done = self.tries(*command)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def money(self) -> list[tuple[Any, ...]]:
        """Every balance."""
        return self.whole.sql("SELECT inn, balance, entries FROM organization ORDER BY inn")

    def payments(self) -> int:
        """How many the ledger has."""
        ((many,),) = self.whole.sql("SELECT count(*) FROM payment")
        return int(many)

    def sends(self, many: int) -> None:
        """Let so many new payments be in the journal, and wait until they are applied."""
        before = self.payments()
        pick = random.Random(before)
        inns = [organization_inn(pick) for _ in range(100)]
        produce(
            self.settings,
            [webhook(document(payer_inn=pick.choice(inns), amount=7)) for _ in range(many)],
        )
        self.waits_for(before + many)

    def waits_for(self, many: int) -> None:
        """Wait until the ledger has so many payments."""
        wait_until(lambda: self.payments() == many, f"{many} are applied", APPLIED_SECONDS_MAX)

    def loses_topic(self) -> None:
        """Lose the journal under the running system, which refuses webhooks from then on."""
        self.runs("topic", "delete", self.settings.topic)
        wait_until(lambda: self._answers(503), "webhooks are refused")

    def sees_all_well(self) -> None:
        """See that webhooks are taken and counted, and that topic and ledger agree."""
        wait_until(lambda: self._answers(200), "webhooks are taken")
        wait_until(self._is_fresh, "balances include what was acknowledged")
        assert "balances are right" in finished(self.whole.bank("--webhooks", "500"))
        assert "Everything agrees." in self.runs("audit")

    def _is_fresh(self) -> bool:
        address = f"/api/organizations/{document()['payer_inn']}/balance/"
        answer = request(self.whole.port, "GET", address)
        return answer.status == 200 and "Ostatok-Stale" not in answer.headers

    def _answers(self, status: int) -> bool:
        body = json.dumps(document()).encode()
        headers = {"Content-Type": "application/json"}
        answer = request(self.whole.port, "POST", "/api/webhook/bank/", body, headers)
        return answer.status == status


@contextmanager
def services_of(folder: Path) -> Iterator[Operator]:
    """Run Kafka and Postgres of a data folder alone."""
    argv = (*UP, "--services-only", "--data", str(folder))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, text=True) as services:
        try:
            wait_until((folder / "run.json").exists, "the services run")
            yield Operator(Whole(services, folder, 0))
        finally:
            services.send_signal(signal.SIGINT)
            assert services.wait(COMMAND_SECONDS_MAX) == 0


@pytest.fixture(scope="module", params=[FEW, pytest.param(MANY, marks=pytest.mark.long)])
def operator(request: pytest.FixtureRequest) -> Iterator[Operator]:
    """A system that has counted so many payments."""
    with data_folder() as folder, running_up(folder) as whole:
        someone = Operator(whole)
        someone.sends(int(request.param))
        yield someone


@pytest.mark.long
def test_a_bug_applied_wrong_rows(operator: Operator) -> None:
    """Audit names them, a rebuild puts right ones in their place."""
    right = operator.money()
    operator.whole.sql(
        "UPDATE organization SET balance = balance + 1 WHERE inn LIKE '77%' RETURNING inn"
    )
    audited = operator.tries("audit")
    assert audited.returncode == 1
    assert "balance: " in audited.stdout
    assert "differences" in operator.runs("rebuild", "--swap")
    assert operator.money() == right
    operator.sees_all_well()


@pytest.mark.long
def test_postgres_is_of_yesterday(operator: Operator) -> None:
    """It catches up with what the topic has by itself."""
    dump = operator.kept / "ledger.dump"
    url = operator.settings.database_conninfo
    program("pg_dump", "--schema", "ostatok*", "-Fc", "--file", str(dump), url)
    operator.sends(500)
    money, many = operator.money(), operator.payments()
    again = ("--schema", "ostatok", "--clean", "--if-exists", "--single-transaction")
    program("pg_restore", *again, "--dbname", url, str(dump))
    operator.waits_for(many)
    assert operator.money() == money
    operator.sees_all_well()


def test_the_topic_is_lost_and_there_is_a_copy(operator: Operator) -> None:
    """The copy, what the ledger has beyond it, and a ledger of the new topic."""
    copy = str(operator.kept / "copy")
    operator.runs("topic", "backup", copy)
    before = operator.payments()
    operator.sends(500)
    # Repeats, so that the new topic ends before what http acknowledged in the old one.
    finished(operator.whole.bank("--webhooks", "300", "--duplicates", "0.5"))
    money, since = operator.money(), operator.payments() - before
    operator.loses_topic()
    assert "written to the topic" in operator.runs("topic", "restore", copy)
    assert f"{since} are written" in operator.runs("reseed")
    assert " 0 differences." in operator.runs("rebuild", "--new-topic", "--swap")
    assert operator.money() == money
    operator.sees_all_well()


@pytest.mark.long
def test_the_topic_is_lost_and_there_is_no_copy(operator: Operator) -> None:
    """The ledger's payments make a new one."""
    money, many = operator.money(), operator.payments()
    operator.loses_topic()
    assert f"{many:,} are written" in operator.runs("reseed")
    assert " 0 differences." in operator.runs("rebuild", "--new-topic", "--swap")
    assert operator.money() == money
    operator.sees_all_well()


@pytest.mark.long
def test_retention_has_cut_the_topic(operator: Operator) -> None:
    """What is applied stays counted; a whole journal is made of the ledger's payments."""
    settings, money = operator.settings, operator.money()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    (partition, offset), *_ = operator.whole.sql(
        "SELECT partition, next_offset FROM applied_offset ORDER BY next_offset DESC"
    )
    cut = TopicPartition(settings.topic, partition, offset)
    admin.delete_records([cut])[cut].result(30)
    said = operator.runs("audit")
    assert f"Partition {partition} holds nothing before {offset}" in said
    assert "lacks its beginning" in operator.tries("rebuild").stderr
    operator.sees_all_well()
    money = operator.money()
    operator.loses_topic()
    operator.runs("reseed")
    assert " 0 differences." in operator.runs("rebuild", "--new-topic", "--swap")
    assert operator.money() == money
    operator.sees_all_well()
    assert " 0 differences." in operator.runs("rebuild")


def test_a_bank_sent_a_bad_batch(operator: Operator) -> None:
    """Records under a wrong key move no money until they are published under the right one."""
    before = operator.payments()
    batch = [{**webhook(document(amount=3)), "key": "0000000000"} for _ in range(50)]
    produce(operator.settings, batch)
    wait_until(lambda: "50 dead letters." in operator.runs("dead-letters", "list"), "they are dead")
    assert operator.payments() == before
    chosen = ("--reason", "the record's key is not the payer's INN")
    assert operator.runs("dead-letters", "redrive", *chosen).count("is published at") == 50
    operator.waits_for(before + 50)
    assert "0 dead letters." in operator.runs("dead-letters", "list")
    operator.sees_all_well()


@pytest.mark.long
def test_postgres_is_lost(operator: Operator) -> None:
    """With its disk: the next start makes an empty one, and all comes from the topic."""
    with data_folder() as folder:
        with running_up(folder) as whole:
            someone = Operator(whole)
            someone.sends(operator.payments())
            money, many = someone.money(), someone.payments()
            whole.stop()
        shutil.rmtree(folder / "postgres")
        with running_up(folder) as whole:
            someone = Operator(whole)
            someone.waits_for(many)
            assert someone.money() == money
            someone.sees_all_well()


@pytest.mark.long
def test_kafka_is_lost_with_its_disk(operator: Operator) -> None:
    """An `up` can't come up without its topic, but its services can, and that is enough."""
    with data_folder() as folder:
        with running_up(folder) as whole:
            someone = Operator(whole)
            someone.sends(operator.payments())
            money = someone.money()
            whole.stop()
        shutil.rmtree(folder / "kafka")
        failed = subprocess.run(
            [*UP, "--data", str(folder)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert failed.returncode == 1
        assert "There is no topic" in failed.stdout + failed.stderr
        with services_of(folder) as someone:
            someone.runs("reseed")
            assert " 0 differences." in someone.runs("rebuild", "--new-topic", "--swap")
        with running_up(folder) as whole:
            someone = Operator(whole)
            assert someone.money() == money
            someone.sees_all_well()


@pytest.mark.long
def test_both_are_lost(operator: Operator) -> None:
    """The copy makes the ledger, and the dump gives back what operators decided."""
    batch = [{**webhook(document(amount=3)), "key": "0000000000"}]
    produce(operator.settings, batch)
    wait_until(lambda: "1 dead letters." in operator.runs("dead-letters", "list"), "it is dead")
    operator.runs("dead-letters", "discard", "--because", "a test", "--reason", "key")
    copy, dump = operator.kept / "last-copy", str(operator.kept / "last.dump")
    operator.runs("topic", "backup", str(copy))
    program("pg_dump", "-n", "ostatok*", "-Fc", "-f", dump, operator.settings.database_conninfo)
    money, many = operator.money(), operator.payments()
    with data_folder() as folder:
        with services_of(folder) as someone:
            someone.runs("topic", "restore", str(copy))
            assert someone.whole.sql("SELECT 1 FROM pg_roles WHERE rolname = 'ostatok_http'")
        with running_up(folder) as whole:
            someone = Operator(whole)
            someone.waits_for(many)
            assert someone.money() == money
            url = someone.settings.database_conninfo
            program("pg_restore", "-n", "ostatok_service", "--data-only", "--dbname", url, dump)
            assert "0 dead letters." in someone.runs("dead-letters", "list")
            assert "discarded by" in someone.runs("dead-letters", "list", "--all")
            someone.sees_all_well()

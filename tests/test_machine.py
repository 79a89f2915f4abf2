"""A state machine of the ledger: whatever two workers do to it, it agrees with a plain model.

The model knows one rule: within a partition the first record of an operation is applied, another
like it is a duplicate, another unlike it a conflict. An operation stays with one INN here: of two
INNs whichever the ledger met first wins, which no order of steps decides.
"""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from support.payments import PARTITIONS, TOPIC, TOPIC_ID, dead_letter, entry, payment
from support.services import Services

from ostatok.errors import LedgerGap
from ostatok.journal import DeadLetter, Entry, partition_of
from ostatok.payment import Payment
from ostatok.settings import load
from ostatok_db.batch import Batch, Outcome, Slice
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.migrate import adopt_topic

INNS = ("1234567890", "770412345608", "7707083893")
HOMES = sorted({partition_of(inn, PARTITIONS) for inn in INNS})
WORKERS = st.sampled_from((0, 1))
SIZES = st.integers(1, 6)


class PulledPlug(Exception):
    """The worker dies in the middle of its transaction."""


class DyingLedger(Ledger):
    """A ledger whose worker dies after the inserts, before the offsets."""

    async def _apply_entries(self, *arguments: Any) -> Any:
        await super()._apply_entries(*arguments)
        raise PulledPlug


class LedgerMachine(RuleBasedStateMachine):
    """Two workers, a topic, and a bank."""

    services: ClassVar[Services]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = load(database_url=self.services.new_database(), topic=TOPIC)
        adopt_topic(self.database, topic_id=TOPIC_ID, partitions=PARTITIONS)
        self.conninfo = conninfo(self.database, name="machine")
        self.ledgers = [self.do(Ledger.connect(self.conninfo)) for _ in range(2)]
        self.topic: dict[int, list[Entry | DeadLetter]] = {home: [] for home in HOMES}
        self.paid: list[Payment] = []
        self.stands = dict.fromkeys(HOMES, 0)
        self.reads = [dict.fromkeys(HOMES, 0) for _ in range(2)]

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Close what was opened."""
        for ledger in self.ledgers:
            self.do(ledger.close())
        self.loop.close()

    # The bank

    def _send(self, sent: Payment) -> None:
        home = partition_of(sent.inn, PARTITIONS)
        self.topic[home].append(entry(sent, len(self.topic[home]), minutes=len(self.paid)))

    @rule(inn=st.sampled_from(INNS), kopecks=st.integers(1, 10**15 - 1), times=st.integers(1, 2))
    def new_payment(self, inn: str, kopecks: int, times: int) -> None:
        """A payment, perhaps sent twice at once."""
        self.paid.append(payment(inn=inn, amount=Decimal(kopecks).scaleb(-2)))
        for _ in range(times):
            self._send(self.paid[-1])

    @rule(pick=st.integers(0, 10**6), differs=st.booleans())
    def repeated_payment(self, pick: int, differs: bool) -> None:
        """An old payment again, or its operation with another number."""
        if self.paid:
            old = self.paid[pick % len(self.paid)]
            number = "another" if differs else old.document_number
            self._send(
                payment(
                    operation_id=old.operation_id,
                    inn=old.inn,
                    amount=old.amount,
                    document_number=number,
                )
            )

    @rule(home=st.sampled_from(HOMES))
    def rubbish(self, home: int) -> None:
        """A record that is no payment."""
        self.topic[home].append(dead_letter(home, len(self.topic[home])))

    # The workers

    def _batch(self, worker: int, size: int, homes: list[int]) -> Batch:
        slices = []
        for home in homes:
            first = self.reads[worker][home]
            some = self.topic[home][first : first + size]
            if some:
                entries = [one for one in some if isinstance(one, Entry)]
                dead = [one for one in some if isinstance(one, DeadLetter)]
                slices.append(Slice(home, first, first + len(some), entries, dead))
        return Batch(TOPIC, TOPIC_ID, slices)

    def _applied(self, batch: Batch) -> None:
        for one in batch.slices:
            self.stands[one.partition] = max(self.stands[one.partition], one.next_offset)

    @rule(
        worker=WORKERS, size=SIZES, homes=st.lists(st.sampled_from(HOMES), min_size=1, unique=True)
    )
    def applies(self, worker: int, size: int, homes: list[int]) -> None:
        """A worker applies a batch from where it reads; what lies behind the ledger is seen."""
        batch = self._batch(worker, size, homes)
        applied = self.do(self.ledgers[worker].apply(batch))
        for one in batch.slices:
            for offset in range(one.first_offset, one.next_offset):
                is_behind = offset < self.stands[one.partition]
                outcome = applied.outcome_of(one.partition, offset)
                assert (outcome is Outcome.SEEN) == is_behind
            self.reads[worker][one.partition] = one.next_offset
        self._applied(batch)

    @rule(sizes=st.tuples(SIZES, SIZES))
    def apply_at_once(self, sizes: tuple[int, int]) -> None:
        """Both apply all partitions at the same time: each waits for the other's locks."""
        batches = [self._batch(worker, sizes[worker], HOMES) for worker in (0, 1)]

        async def both() -> None:
            await asyncio.gather(
                *(ledger.apply(one) for ledger, one in zip(self.ledgers, batches, strict=True))
            )

        self.do(both())
        for worker, batch in enumerate(batches):
            for one in batch.slices:
                self.reads[worker][one.partition] = one.next_offset
            self._applied(batch)

    @rule(worker=WORKERS, size=SIZES)
    def dies_in_the_transaction(self, worker: int, size: int) -> None:
        """Nothing of the batch is there; another worker reads from the ledger's offsets."""
        batch = self._batch(worker, size, HOMES)
        dying = self.do(DyingLedger.connect(self.conninfo))
        try:
            self.do(dying.apply(batch))
        except PulledPlug:
            pass
        else:
            self._applied(batch)
        self.do(dying.close())
        self._starts_again(worker)

    @rule(worker=WORKERS, size=SIZES)
    def dies_after_the_commit(self, worker: int, size: int) -> None:
        """It never learns that it was done; another worker reads from the ledger's offsets."""
        batch = self._batch(worker, size, HOMES)
        self.do(self.ledgers[worker].apply(batch))
        self._applied(batch)
        self._starts_again(worker)

    def _starts_again(self, worker: int) -> None:
        self.do(self.ledgers[worker].close())
        self.ledgers[worker] = self.do(Ledger.connect(self.conninfo))
        found = self.do(self.ledgers[worker].offsets(TOPIC))
        self.reads[worker] = {home: found[home][0] for home in HOMES}

    @rule(worker=WORKERS, home=st.sampled_from(HOMES), back=st.integers(1, 20))
    def reads_again(self, worker: int, home: int, back: int) -> None:
        """A redelivery, from any earlier offset."""
        self.reads[worker][home] = max(0, min(self.stands[home], self.reads[worker][home]) - back)

    @rule(worker=WORKERS, home=st.sampled_from(HOMES))
    def skips(self, worker: int, home: int) -> None:
        """A batch that begins behind the ledger's offset is refused, and changes nothing."""
        beyond = self.stands[home] + 1
        hole = Slice(
            home, beyond, beyond + 1, [entry(payment(inn=INNS[0]), beyond, partition=home)]
        )
        with pytest.raises(LedgerGap):
            self.do(self.ledgers[worker].apply(Batch(TOPIC, TOPIC_ID, [hole])))

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        """Offsets, outcomes and balances."""
        outcomes: dict[tuple[int, int], str] = {}
        balances: dict[str, Decimal] = {}
        for home, records in self.topic.items():
            won: dict[str, tuple[int, Payment]] = {}
            for offset, one in enumerate(records[: self.stands[home]]):
                if isinstance(one, DeadLetter):
                    outcomes[home, offset] = "dead"
                    continue
                paid = one.payment
                place, first = won.setdefault(paid.operation_id, (offset, paid))
                if place == offset:
                    outcomes[home, offset] = "applied"
                    balances[paid.inn] = balances.get(paid.inn, Decimal(0)) + paid.amount
                else:
                    outcomes[home, offset] = "duplicate" if first == paid else "conflict"
        with psycopg.connect(self.conninfo) as connection:
            found = connection.execute(
                "SELECT partition, \"offset\", 'applied' FROM payment UNION ALL "
                'SELECT partition, "offset", outcome FROM duplicate UNION ALL '
                "SELECT partition, \"offset\", 'dead' FROM dead_letter"
            ).fetchall()
            assert {(home, offset): what for home, offset, what in found} == outcomes
            assert len(found) == len(outcomes)
            stands = connection.execute(
                "SELECT partition, next_offset FROM applied_offset WHERE partition = ANY(%s)",
                (HOMES,),
            ).fetchall()
            assert dict(stands) == self.stands
            sums = connection.execute("SELECT inn, balance FROM organization").fetchall()
            assert dict(sums) == balances


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("examples", "steps"), [(10, 40), pytest.param(200, 60, marks=pytest.mark.long)]
)
def test_whatever_two_workers_do(services: Services, examples: int, steps: int) -> None:
    """Hundreds of steps, or twelve thousand: the ledger stays what the model says."""
    LedgerMachine.services = services
    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(LedgerMachine, settings=limits)

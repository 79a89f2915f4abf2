"""What must hold after any run, each with a query or a function of its own."""

from collections.abc import Callable
from typing import NamedTuple

from chaos.book import Attempt, is_refused
from chaos.evidence import Evidence, Position
from ostatok.journal import Entry
from ostatok_db.batch import Outcome

QUERIES = {
    "balances are the sums of the payments": """
        SELECT inn FROM organization FULL JOIN (SELECT inn, sum(amount) AS total, count(*) AS many
        FROM payment GROUP BY inn) p USING (inn)
        WHERE (balance, entries) IS DISTINCT FROM (total, many)""",
    "balances are the last log entries": """
        SELECT o.inn FROM organization o LEFT JOIN balance_log l ON l.inn = o.inn
        AND l.entry = o.entries WHERE (l.new_balance, l.link, l.created_at)
        IS DISTINCT FROM (o.balance, o.head, o.changed_at)""",
    "log entries are consecutive and add up": """
        SELECT inn FROM (SELECT inn, entry, previous_balance, new_balance,
        row_number() OVER w AS place, lag(new_balance, 1, 0::numeric) OVER w AS before
        FROM balance_log WINDOW w AS (PARTITION BY inn ORDER BY entry)) e
        WHERE entry <> place OR previous_balance <> before""",
    "as many outcomes as offsets applied": """
        SELECT partition FROM applied_offset a WHERE next_offset <> (
        SELECT count(*) FROM (
        SELECT "offset" FROM payment p WHERE p.partition = a.partition UNION ALL
        SELECT "offset" FROM duplicate d WHERE d.partition = a.partition UNION ALL
        SELECT "offset" FROM dead_letter x WHERE x.partition = a.partition) o)""",
}
"""Give rows where something is wrong; hold for any ledger that read its topic to the end."""


LAWFUL_OF_BALANCES = {"GET 200", "GET 404", "GET 503"}
"""Also of an INN that nobody has paid for yet."""
READ_INTO_THE_SAME = "reading the topic again into the same ledger changes nothing"


class Broken(NamedTuple):
    """One thing that is wrong."""

    what: str
    operation_id: str | None = None


def acknowledged_are_there_once(evidence: Evidence) -> list[Broken]:
    """Every operation that got a 200 is one payment and one log entry."""
    paid = dict(evidence.sql("SELECT operation_id::text, count(*) FROM payment GROUP BY 1"))
    logged = dict(evidence.sql("SELECT operation_id::text, count(*) FROM balance_log GROUP BY 1"))
    return [
        Broken(f"payments {paid.get(one, 0)}, log entries {logged.get(one, 0)}", one)
        for one in sorted(evidence.book.acknowledged())
        if (paid.get(one, 0), logged.get(one, 0)) != (1, 1)
    ]


def none_that_nobody_sent(evidence: Evidence) -> list[Broken]:
    """Every payment is what a client sent, and what no client was refused."""
    sent = evidence.book.may_be_there()
    return [
        Broken(f"{inn} {amount} was never sent, or was refused", one)
        for one, inn, amount in evidence.sql("SELECT operation_id::text, inn, amount FROM payment")
        if (inn, amount) not in sent.get(one, set())
    ]


def receipts_are_true(evidence: Evidence) -> list[Broken]:
    """Where a 200 says that the record lies, it lies."""
    broken = []
    for one, attempts in evidence.book.attempts.items():
        for attempt in attempts:
            if attempt.status != 200:
                continue
            partition, _, offset = (attempt.position or "-1:-1").partition(":")
            entry = evidence.entries.get((int(partition), int(offset)))
            found = entry and (entry.payment.operation_id, entry.payment.inn, entry.payment.amount)
            if found != (one, attempt.inn, attempt.amount):
                broken.append(Broken(f"the receipt {attempt.position} is another's", one))
    return broken


def every_offset_has_one_outcome(evidence: Evidence) -> list[Broken]:
    """Each record of the topic has exactly one outcome, and nothing else has one."""
    broken = []
    for place in sorted({*evidence.records, *evidence.outcomes}):
        found = evidence.outcomes.get(place, [])
        if len(found) == 1 and place in evidence.records:
            continue
        entry = evidence.entries.get(place)
        said = ", ".join(found) or "none"
        there = "" if place in evidence.records else ", and the topic has no such record"
        what = f"{place[0]}:{place[1]} has the outcome {said}{there}"
        broken.append(Broken(what, entry.payment.operation_id if entry else None))
    return broken


def outcomes_are_the_models(evidence: Evidence) -> list[Broken]:
    """Each outcome is what the rules say of the topic read in order."""
    expected = model(evidence)
    broken = []
    for place, outcome in expected.items():
        found = evidence.outcomes.get(place, [])
        if found and found != [outcome]:
            entry = evidence.entries.get(place)
            what = f"{place[0]}:{place[1]} is {', '.join(found)}, must be {outcome}"
            broken.append(Broken(what, entry.payment.operation_id if entry else None))
    return broken


def model(evidence: Evidence) -> dict[Position, Outcome]:
    """What the rules say, in plain Python.

    Within a partition the lowest offset of an operation wins. Of several partitions whichever the
    ledger says, as long as it is one of these winners; else the first.
    """
    expected = dict.fromkeys(evidence.records, Outcome.DEAD)
    for entries in evidence.of_operation.values():
        first: dict[int, Entry] = {}
        for entry in entries:  # In order of their offsets within a partition.
            first.setdefault(entry.partition, entry)
        candidates = list(first.values())
        winner = next(
            (one for one in candidates if Outcome.APPLIED in evidence.outcomes.get(_at(one), ())),
            candidates[0],
        )
        for entry in entries:
            same = entry.payment == winner.payment
            expected[_at(entry)] = Outcome.DUPLICATE if same else Outcome.CONFLICT
        expected[_at(winner)] = Outcome.APPLIED
    return expected


def _at(entry: Entry) -> Position:
    return entry.partition, entry.offset


def offsets_only_went_forward(evidence: Evidence) -> list[Broken]:
    """A trigger saw every change of a stored offset."""
    rows = evidence.sql("SELECT partition, before, after FROM chaos.went_back")
    return [Broken(f"partition {row[0]} went back from {row[1]} to {row[2]}") for row in rows]


def offsets_reach_the_end(evidence: Evidence) -> list[Broken]:
    """Each stored offset is the topic's end: no lag, and nothing beyond."""
    stored = evidence.stage.view.offsets()
    return [
        Broken(f"partition {one} is applied up to {stored.get(one)}, its end is {end}")
        for one, end in evidence.ends.items()
        if stored.get(one) != end
    ]


def answers_were_lawful(evidence: Evidence) -> list[Broken]:
    """A webhook gets 4xx if and only if it is bad, else 200 or 503; no balance went back."""
    broken = [
        Broken(str(attempt), one)
        for one, attempts in evidence.book.attempts.items()
        for attempt in attempts
        if not _is_lawful(attempt)
    ]
    read = evidence.book.answers
    unlawful = set(read) & {f"GET {status}" for status in range(100, 600)} - LAWFUL_OF_BALANCES
    broken += [Broken(f"{one} was answered {read[one]} times") for one in sorted(unlawful)]
    return broken + [Broken(f"a balance went back: {x}") for x in evidence.book.balances_gone_back]


def _is_lawful(attempt: Attempt) -> bool:
    # 408 is said of the way the body came, not of what is in it.
    if attempt.status in {None, 408, 503}:
        return True
    return is_refused(attempt.status) if attempt.bad else attempt.status == 200


def same_reading_changes_nothing(
    before: dict[str, tuple[int, str]], after: dict[str, tuple[int, str]]
) -> list[Broken]:
    """Two looks at each table of the ledger, rows and what they come to, are the same."""
    return [
        Broken(f"{table}: {before.get(table)} before, {after.get(table)} after")
        for table in sorted({*before, *after})
        if before.get(table) != after.get(table)
    ]


_DISPUTED = """
    SELECT operation_id FROM (SELECT operation_id, inn FROM {schema}.payment UNION
    SELECT operation_id, inn FROM {schema}.duplicate) o GROUP BY operation_id HAVING count(*) > 1"""
_COMPARED = {
    "payment": "operation_id NOT IN (SELECT * FROM disputed)",
    "duplicate": "operation_id NOT IN (SELECT * FROM disputed)",
    "dead_letter": "true",
    "applied_offset": "true",
    "organization": "inn NOT IN (SELECT * FROM claimed)",
    "balance_log": "inn NOT IN (SELECT * FROM claimed)",
}


def second_reading_is_equal(evidence: Evidence) -> list[Broken]:
    """The topic read again into another schema makes the same tables to the byte.

    But for operations under two INNs, and the balances of these INNs.
    """
    broken = []
    for table, where in _COMPARED.items():
        rows = evidence.sql(f"""
            WITH disputed AS ({_DISPUTED.format(schema="ostatok")}),
            claimed AS (SELECT inn FROM ostatok.duplicate JOIN disputed USING (operation_id)
                UNION SELECT inn FROM ostatok.payment JOIN disputed USING (operation_id)),
            first AS (SELECT t::text FROM ostatok.{table} t WHERE {where}),
            second AS (SELECT t::text FROM again.{table} t WHERE {where})
            (SELECT 'only the first', * FROM (SELECT * FROM first EXCEPT SELECT * FROM second) a)
            UNION ALL
            (SELECT 'only the second', * FROM (SELECT * FROM second EXCEPT SELECT * FROM first) b)
            """)
        broken += [Broken(f"{table}: {which} has {row}") for which, row in rows]
    return broken


def _query(text: str) -> "Check":
    def check(evidence: Evidence) -> list[Broken]:
        return [Broken(str(row[0])) for row in evidence.sql(text)]

    return check


Check = Callable[[Evidence], list[Broken]]

CHECKS: dict[str, Check] = {
    "acknowledged operations are in the ledger exactly once": acknowledged_are_there_once,
    "nothing is in the ledger that no client sent": none_that_nobody_sent,
    "receipts name the record": receipts_are_true,
    "every record has exactly one outcome": every_offset_has_one_outcome,
    "every outcome is the model's": outcomes_are_the_models,
    "stored offsets never went back": offsets_only_went_forward,
    "stored offsets are the topic's ends": offsets_reach_the_end,
    "4xx if and only if bad, else 200 or 503; balances only grow": answers_were_lawful,
    "a second reading makes the same tables": second_reading_is_equal,
    **{name: _query(text) for name, text in QUERIES.items()},
}

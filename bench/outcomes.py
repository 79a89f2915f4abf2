"""What a mix of payments must come to, and whether a ledger came to it."""

from typing import NamedTuple

import psycopg

from bench.payments import Mix, bodies


class Outcomes(NamedTuple):
    """How many records of a mix have which outcome, and what the balances are in all."""

    applied: int
    duplicates: int
    conflicts: int
    kopecks: int


def outcomes_of(mix: Mix, seed: int = 1) -> Outcomes:
    """Work out what a mix must come to: the first of an operation counts, whatever follows.

    An operation has one INN here, so it lies in one partition, in the order it was sent.
    """
    won: dict[bytes, bytes] = {}
    duplicates = conflicts = 0
    for _, body in bodies(mix, seed):
        operation, amount = _parts(body)
        if operation not in won:
            won[operation] = amount
        elif won[operation] == amount:
            duplicates += 1
        else:
            conflicts += 1
    kopecks = sum(int(amount.replace(b".", b"")) for amount in won.values())
    return Outcomes(len(won), duplicates, conflicts, kopecks)


def _parts(body: bytes) -> tuple[bytes, bytes]:
    """The operation's id and its amount; a body begins with them."""
    pieces = body.split(b'"', 8)
    return pieces[3], pieces[7]


def check_money(database: str, expected: Outcomes) -> None:
    """See that a ledger, ours or a peer's, counted each operation once."""
    statement = (
        b"SELECT (SELECT count(*) FROM payment), (SELECT count(*) FROM balance_log),"
        b" (SELECT (100 * sum(balance))::bigint FROM organization)"
    )
    wanted = (expected.applied, expected.applied, expected.kopecks)
    _check(database, statement, wanted, "payments, log entries and kopecks")


def check_repeats(database: str, expected: Outcomes) -> None:
    """See that our ledger kept each repetition with its outcome."""
    statement = (
        b"SELECT count(*) FILTER (WHERE outcome = 'duplicate'),"
        b" count(*) FILTER (WHERE outcome = 'conflict') FROM duplicate"
    )
    _check(database, statement, (expected.duplicates, expected.conflicts), "repetitions")


def _check(database: str, statement: bytes, wanted: tuple[int, ...], what: str) -> None:
    with psycopg.connect(database) as connection:
        found = connection.execute(statement).fetchone()
    assert found == wanted, f"The ledger has {found} {what} instead of {wanted}."

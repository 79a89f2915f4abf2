"""What somebody who may write to Postgres could do to the ledger, and what must be found then."""

from ostatok_stream.comparing import Kind
from support.journal import INNS

INN = INNS[0]

LONELY = (
    f"(SELECT min(entry) FROM balance_log AS l WHERE inn = '{INN}' AND entry > 2 AND NOT EXISTS "
    "(SELECT FROM duplicate AS d WHERE d.operation_id = l.operation_id))"
)
"""The number of an entry whose operation came only once."""
THIS = f"inn = '{INN}' AND entry = {LONELY}"
LAST = f"inn = '{INN}' AND entry = (SELECT entries FROM organization WHERE inn = '{INN}')"
OPERATION = f"(SELECT operation_id FROM balance_log WHERE {THIS})"

PLANTED: dict[str, tuple[tuple[str, ...], set[Kind]]] = {
    "a balance changed": (
        (f"UPDATE organization SET balance = balance + 1 WHERE inn = '{INN}'",),
        {Kind.BALANCE},
    ),
    "a log entry edited": (
        (f"UPDATE balance_log SET new_balance = new_balance + 1 WHERE {THIS}",),
        {Kind.BALANCE, Kind.CHAIN},
    ),
    "a log entry's link edited": (
        (f"UPDATE balance_log SET link = sha256(link) WHERE {THIS}",),
        {Kind.CHAIN},
    ),
    "a log entry removed": (
        (f"DELETE FROM balance_log WHERE {THIS}",),
        {Kind.LOG, Kind.BALANCE, Kind.CHAIN},
    ),
    "the last log entry removed": (
        (f"DELETE FROM balance_log WHERE {LAST}",),
        {Kind.LOG, Kind.BALANCE, Kind.CHAIN},
    ),
    "a log entry inserted behind the last": (
        (
            (
                "INSERT INTO balance_log SELECT inn, entry + 1, gen_random_uuid(), 1, new_balance, "
                f"new_balance + 1, created_at, link FROM balance_log WHERE {LAST}"
            ),
        ),
        {Kind.LOG},
    ),
    "two log entries changed places": (
        (
            f"UPDATE balance_log SET entry = -entry WHERE inn = '{INN}' AND entry IN (3, 4)",
            f"UPDATE balance_log SET entry = 7 + entry WHERE inn = '{INN}' AND entry < 0",
        ),
        {Kind.BALANCE, Kind.CHAIN},
    ),
    "a payment deleted": (
        (f"DELETE FROM payment WHERE operation_id = {OPERATION}",),
        {Kind.NO_OUTCOME, Kind.LOG},
    ),
    "an amount changed in all three": (
        (
            f"UPDATE payment SET amount = amount + 1 WHERE operation_id = {OPERATION}",
            (
                f"UPDATE balance_log SET amount = amount + 1, new_balance = new_balance + 1 "
                f"WHERE {THIS}"
            ),
            (
                "UPDATE balance_log SET previous_balance = previous_balance + 1, "
                f"new_balance = new_balance + 1 WHERE inn = '{INN}' AND entry > {LONELY}"
            ),
            f"UPDATE organization SET balance = balance + 1 WHERE inn = '{INN}'",
        ),
        {Kind.DIFFERS, Kind.CHAIN},
    ),
    "an INN changed in a payment": (
        (f"UPDATE payment SET inn = '{INNS[1]}' WHERE operation_id = {OPERATION}",),
        {Kind.DIFFERS, Kind.LOG},
    ),
    "an organization deleted": (
        (f"DELETE FROM organization WHERE inn = '{INN}'",),
        {Kind.LOG},
    ),
    "a duplicate deleted": (
        ("DELETE FROM duplicate WHERE ctid = (SELECT min(ctid) FROM duplicate)",),
        {Kind.NO_OUTCOME},
    ),
    "a conflict said to be a duplicate": (
        (
            (
                "UPDATE duplicate SET outcome = 'duplicate', differences = NULL WHERE ctid = "
                "(SELECT min(ctid) FROM duplicate WHERE outcome = 'conflict')"
            ),
        ),
        {Kind.DIFFERS},
    ),
    "a duplicate of a payment too": (
        (
            (
                'INSERT INTO duplicate SELECT topic, partition, "offset", operation_id, inn, '
                "'duplicate', NULL, source, request_id, received_at FROM payment "
                f"WHERE operation_id = {OPERATION}"
            ),
        ),
        {Kind.TWO_OUTCOMES},
    ),
    "a dead letter deleted": (
        ("DELETE FROM dead_letter WHERE ctid = (SELECT min(ctid) FROM dead_letter)",),
        {Kind.NO_OUTCOME},
    ),
    "a dead letter's bytes changed": (
        ("UPDATE dead_letter SET value = 'x' WHERE ctid = (SELECT min(ctid) FROM dead_letter)",),
        {Kind.DIFFERS},
    ),
    "a payment without a record": (
        (
            (
                "INSERT INTO payment SELECT gen_random_uuid(), inn, amount, document_number, "
                'document_date, source, request_id, topic, partition, "offset" + 100000, '
                f"received_at FROM payment WHERE operation_id = {OPERATION}"
            ),
        ),
        {Kind.NO_RECORD, Kind.LOG},
    ),
    "an outcome of another topic": (
        (
            (
                "INSERT INTO dead_letter SELECT 'other', partition, \"offset\", reason, key, "
                "value, header_names, header_values, timestamp_ms, received_at FROM dead_letter "
                "LIMIT 1"
            ),
        ),
        {Kind.TOPIC},
    ),
}

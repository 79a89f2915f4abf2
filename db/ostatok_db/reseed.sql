-- What a reseed asks of a ledger: the payments that a topic lacks.

-- name: make_held
-- What the topic holds. Lives as long as the connection.
CREATE TEMPORARY TABLE held (
    operation_id    uuid,
    inn             text,
    amount          numeric(15, 2),
    document_number text,
    document_date   timestamptz
);

-- name: copy_held
-- Takes some of it in.
COPY held FROM STDIN;

-- name: make_missing
-- The payments that the topic lacks: of the others it holds the same record, or one like it.
CREATE TEMPORARY VIEW missing AS
SELECT * FROM payment AS paid WHERE NOT EXISTS (
    SELECT FROM held WHERE held.operation_id = paid.operation_id AND held.inn = paid.inn
    AND held.amount = paid.amount AND held.document_number = paid.document_number
    AND held.document_date = paid.document_date);

-- name: count_missing
-- How many those are.
SELECT count(*) FROM missing WHERE topic = %(topic)s;

-- name: read_missing
-- Those, in the order in which their partitions had them.
SELECT operation_id::text, amount, inn, document_number, document_date, source, request_id,
       received_at, partition, "offset"
FROM missing WHERE topic = %(topic)s ORDER BY partition, "offset";

-- name: count_others
-- Records that are no payments: repeats, and dead letters.
SELECT (SELECT count(*) FROM duplicate WHERE topic = %(topic)s),
       (SELECT count(*) FROM dead_letter WHERE topic = %(topic)s);

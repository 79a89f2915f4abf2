"""What a topic must be that takes the place of a lost one."""

from collections.abc import Mapping

from ostatok.errors import JournalMismatch


def check_new(
    stored: Mapping[int, tuple[int, str]],
    *,
    topic: str,
    described: tuple[str, int],
    own_hint: str,
    partitions_hint: str,
) -> None:
    """See that it is not the one the ledger was built from, and has as many partitions.

    ``stored`` is where the ledger stands, ``described`` what the broker says. Raises
    :class:`JournalMismatch`, with the hint for either.
    """
    topic_id, partitions = described
    if topic_id in {stored_id for _, stored_id in stored.values()}:
        raise JournalMismatch(
            f"Topic {topic} is the one that the ledger was built from.", hint=own_hint
        )
    if partitions != len(stored):
        raise JournalMismatch(
            f"Topic {topic} has {partitions} partitions, the ledger was built from {len(stored)}.",
            hint=partitions_hint,
        )

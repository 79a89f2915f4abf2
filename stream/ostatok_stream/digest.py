"""One hash over the heads of all chains, kept elsewhere, against whoever may write the ledger.

Who edits an entry can compute its link and all that follow anew. He can't change a hash that he
doesn't have: it covers the last link of every INN, and the offsets say as of when.
"""

from pathlib import Path

import msgspec

from ostatok.errors import LedgerCorrupt, OstatokError
from ostatok.settings import Settings
from ostatok_db.auditing import AuditReader, Digest


def make(settings: Settings) -> Digest:
    """Give the digest of now."""
    reader = AuditReader.connect(settings)
    try:
        return reader.digest()
    finally:
        reader.close()


def check(settings: Settings, path: Path) -> str:
    """Say that a digest that was kept holds; raise :class:`LedgerCorrupt` when it does not.

    Raises :class:`OstatokError` for a file that is none, or of another ledger or a later time.
    """
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Digest)
    except (OSError, msgspec.DecodeError) as error:
        raise OstatokError(
            f"{path} is no digest: {error}.", hint="It must be what `ostatok audit --digest` said."
        ) from None
    reader = AuditReader.connect(settings)
    try:
        stored = reader.stored()
        for partition, offset in kept.offsets.items():
            stands_at, topic_id = stored.get(partition, (0, ""))
            if (settings.topic, topic_id) != (kept.topic, kept.topic_id):
                raise OstatokError(f"{path} is of another topic: {kept.topic}, {kept.topic_id}.")
            if stands_at < offset:
                raise OstatokError(
                    f"{path} is of a later time: partition {partition} was applied up to "
                    f"{offset}, the ledger is at {stands_at}.",
                    hint="Let the stream catch up first.",
                )
        now = reader.digest(kept.offsets)
    finally:
        reader.close()
    if now.replayed != kept.replayed:
        raise OstatokError(
            f"{path} can't be compared: a replay gave outcomes to records of before it was made.",
            hint="Audit the ledger, and make a new digest.",
        )
    if (now.sha256, now.organizations) != (kept.sha256, kept.organizations):
        raise LedgerCorrupt(
            f"The ledger is not what it was: {now.organizations} chains make {now.sha256}, "
            f"{kept.organizations} made {kept.sha256}.",
            hint="An entry of before that moment was edited, removed, inserted or moved. "
            "`ostatok audit` compares with the journal.",
        )
    return f"The {now.organizations:,} chains are what they were."

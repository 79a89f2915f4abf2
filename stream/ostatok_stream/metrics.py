"""What a stream worker counts, for Prometheus."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from ostatok_db.batch import Applied, Batch, Outcome
from ostatok_stream.ages import CommittedAges, OldestUnapplied

records = Counter("ostatok_stream_records", "Records by outcome", ["outcome"])
source_conflicts = Counter(
    "ostatok_stream_source_conflicts",
    "Conflicts whose record came from another source than the one that counts",
)
batch_records = Histogram(
    "ostatok_stream_batch_records",
    "Records in a batch",
    buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000),
)
batch_seconds = Histogram(
    "ostatok_stream_batch_seconds",
    "From the turn of a batch, read by then, to its committed transaction",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)
committed_ages = CommittedAges(
    "ostatok_stream_end_to_end_seconds",
    "From a payment's receipt by the HTTP service to its committed transaction",
)
retries = Counter("ostatok_stream_retries", "Batches begun again because Postgres was away")
next_offset = Gauge(
    "ostatok_stream_next_offset", "Next offset to apply, as this worker last saw", ["partition"]
)
lag_records = Gauge(
    "ostatok_stream_lag_records", "Records of the partition not applied yet", ["partition"]
)
oldest_unapplied = OldestUnapplied(
    "ostatok_stream_oldest_unapplied_seconds",
    "Age of the oldest record of the partition that is not applied yet, 0 when there is none",
)
assigned_partitions = Gauge(
    "ostatok_stream_assigned_partitions", "Partitions that this worker applies; 0 in a rebalance"
)
topic_partitions = Gauge(
    "ostatok_stream_topic_partitions", "Partitions of the topic, all workers' together"
)

REGISTRY.register(committed_ages)
REGISTRY.register(oldest_unapplied)
for _outcome in Outcome:
    records.labels(_outcome)


def batch(batch: Batch, seconds: float, applied: Applied) -> None:
    """Count a batch that is committed."""
    batch_records.observe(batch.records)
    batch_seconds.observe(seconds)
    committed_ages.observe(batch, applied)
    for outcome, count in applied.counts.items():
        records.labels(outcome).inc(count)
    source_conflicts.inc(sum(one.is_between_sources for one in applied.repeats))
    for one in batch.slices:
        next_offset.labels(one.partition).set(one.next_offset)
        oldest_unapplied.moved(one.partition, one.next_offset)

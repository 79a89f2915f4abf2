"""What is counted of connections."""

from prometheus_client import CollectorRegistry, Counter, Gauge

REFUSED = ("full", "client")
CUT = ("slow_head", "slow_reader", "unreadable", "handshake")


class ConnectionCounts:
    """How many there are, how many were not let in, and how many were cut off."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "ostatok_http_connections",
            "Connections of clients that are open",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._open.set(0)
        self._max = Gauge(
            "ostatok_http_connections_max",
            "Connections that may be open; past it new ones are ended at once",
            multiprocess_mode="livesum",
            registry=registry,
        )
        refused = Counter(
            "ostatok_http_refused_connections",
            "Connections that were ended at once, by whose limit it was: all clients', or one's",
            ["limit"],
            registry=registry,
        )
        cut = Counter(
            "ostatok_http_cut_connections",
            "Connections that were ended because of what the client did, or did not do",
            ["reason"],
            registry=registry,
        )
        self._refused = {limit: refused.labels(limit) for limit in REFUSED}
        self._cut = {reason: cut.labels(reason) for reason in CUT}

    def limit(self, connections: int) -> None:
        """Show how many may be open."""
        self._max.set(connections)

    def open(self, connections: int) -> None:
        """Show how many are open."""
        self._open.set(connections)

    def refused(self, limit: str) -> None:
        """Count one that was not let in."""
        self._refused[limit].inc()

    def cut(self, reason: str) -> None:
        """Count one that was cut off."""
        self._cut[reason].inc()

"""The broker and the server of a run, each reached through a proxy by what is tested."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from chaos.proxy import Proxy
from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.ports import free_port

# Of a key that stands twice the later one counts.
DOOR = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},DOOR://127.0.0.1:{door}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DOOR://127.0.0.1:{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,DOOR:PLAINTEXT
group.min.session.timeout.ms=1000
"""


class ProxiedKafka(EmbeddedKafka):
    """A broker with a second door; whoever comes in there is told to come through the proxy.

    The harness itself uses the first door, so that it sees the journal whatever the proxy does.
    """

    def __init__(self, folder: Path, *, log: Path) -> None:
        super().__init__(folder, free_port(), log=log)
        self._door = free_port()
        self.proxy = Proxy("kafka", self._door)

    def _write_properties(self, path: Path, data: Path) -> None:
        super()._write_properties(path, data)
        text = path.read_text(encoding="utf-8")
        controller = text.split("quorum.voters=1@127.0.0.1:")[1].split("\n")[0]
        given = {"controller": controller, "door": self._door, "proxy": self.proxy.port}
        path.write_text(text + DOOR.format(port=self.port, **given), encoding="utf-8")


def through(proxy: Proxy, database_url: str) -> str:
    """The same database, reached through a proxy."""
    url = urlsplit(database_url)
    credentials = url.netloc.rpartition("@")[0]
    return urlunsplit(url._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}"))

"""Request smuggling: nobody takes for two requests what another takes for one."""

import pytest
from support.raw import Target, post, statuses
from support.smuggling import HIDDEN, HIDDEN_INN, NOT_HTTP, ONE, PROXY_READS
from support.webhooks import INN, RecordingJournal, changed

SILENT_SECONDS = 0.5
"""For those that wait for more: what came till then is all that comes."""


async def test_the_service_takes_nothing_of_what_can_be_read_in_two_ways(
    service: Target, journal: RecordingJournal
) -> None:
    """It answers 400, and what follows on that connection is not even looked at."""
    for name, attack in NOT_HTTP.items():
        answered = statuses(await service.send(attack, HIDDEN, seconds=SILENT_SECONDS))
        assert answered == [400], name
        assert journal.records == [], name


async def test_what_everybody_reads_alike_is_one_webhook(
    target: Target, journal: RecordingJournal
) -> None:
    """However it is written, proxy and service see one, and a trailer is no header."""
    for name, sent in ONE.items():
        journal.records.clear()
        assert statuses(await target.send(sent, seconds=SILENT_SECONDS)) == [200], name
        ((key, _, headers),) = journal.records
        assert key == INN.encode(), name
        assert headers["request-id"] != b"a-trailer", name


@pytest.mark.parametrize("target", ["proxy"], indirect=True)
async def test_the_proxy_and_the_service_see_the_same_requests(
    target: Target, journal: RecordingJournal
) -> None:
    """The journal has what the proxy passed on: one payment for each 200, and in its order.

    Others' requests share the connections between the two; each gets its own answer.
    """
    for name, attack in NOT_HTTP.items():
        journal.records.clear()
        answered = statuses(await target.send(attack, HIDDEN, seconds=SILENT_SECONDS))
        assert answered.count(200) == len(journal.records), name
        if name not in PROXY_READS:
            assert journal.records == [], name
        assert set(answered) <= {200, 400, 404, 421, 501, 502, 505}, name
        honest = post(b"X-Request-ID: honest", body=changed(payer_inn="7830002293"))
        received = await target.send(honest, seconds=SILENT_SECONDS)
        assert statuses(received) == [200], name
        assert b"X-Request-Id: honest\r\n" in received, name
        assert journal.records[-1][0] == b"7830002293", name


async def test_a_host_that_is_not_known_gets_no_receipt(
    target: Target, journal: RecordingJournal
) -> None:
    """A 200 means that the journal has it, from the proxy too."""
    received = await target.send(
        post().replace(b"Host: localhost", b"Host: elsewhere"), seconds=SILENT_SECONDS
    )
    expected = {"service": ([200], 1), "proxy": ([421], 0)}
    assert (statuses(received), len(journal.records)) == expected[target.name]


def test_the_hidden_webhook_is_one() -> None:
    """Or none of this would prove anything."""
    assert HIDDEN_INN.encode() in HIDDEN

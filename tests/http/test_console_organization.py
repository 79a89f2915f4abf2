"""An organization's page, and what a conflict shows of it: the right moments, in the right zone."""

from datetime import timedelta
from itertools import pairwise

from msgspec.structs import replace
from support.pages import INN, get, start
from support.payments import MOMENT, batch, entry, payment
from support.webhooks import Serve

from ostatok.settings import Settings
from ostatok_db.browsing import SAMPLES_MAX, Browser
from ostatok_db.history import History
from ostatok_db.ledger import Ledger
from ostatok_db.pool import Pool

ENTRIES = 9
MICROSECOND = timedelta(microseconds=1)


async def test_a_log_stood_where_history_has_it(database: Settings, ledger: Ledger) -> None:
    """At each moment of many, asked for at once; two entries of one time among them."""
    minutes = (0, 1, 1, 2, 5, 5, 5, 8, 9)
    paid = [payment(inn=INN) for _ in minutes]
    entries = zip(paid, range(ENTRIES), minutes, strict=True)
    await ledger.apply(
        batch(*[entry(one, at, minutes=minute, partition=3) for one, at, minute in entries])
    )
    pool = Pool(database)
    await pool.open()
    browser, history = Browser(database, pool), History(database, pool)
    exact = [MOMENT + timedelta(minutes=minute) for minute in range(-1, 11)]
    moments = [moment + shift for moment in exact for shift in (timedelta(), MICROSECOND)]
    whole = await browser.organization(INN, *moments)
    assert whole is not None
    assert whole.points == [await history.before(INN, moment) for moment in moments]
    assert [point.entry for point in whole.points[:6]] == [0, 0, 0, 1, 1, 3]
    assert await browser.organization("7700000000", MOMENT) is None
    page = await browser.log_page(INN, 3, 4, range(1, ENTRIES + 1))
    assert page.entries == await history.entries(INN, 3, 4)
    assert page.samples == [
        (one.created_at, one.new_balance) for one in await history.entries(INN, 1, ENTRIES)
    ]
    await pool.close()


async def test_samples_are_even_and_have_both_ends(database: Settings, ledger: Ledger) -> None:
    """However long the log is, no more than so many."""
    many = SAMPLES_MAX + 3
    await ledger.apply(
        batch(*[entry(payment(inn=INN), at, minutes=at, partition=3) for at in range(many)])
    )
    pool = Pool(database)
    await pool.open()
    page = await Browser(database, pool).log_page(INN, 1, 0, range(1, many + 1))
    await pool.close()
    times = [int((at - MOMENT) / timedelta(minutes=1)) for at, _ in page.samples]
    assert (page.entries, times[0], times[-1]) == ([], 0, many - 1)
    assert len(times) <= SAMPLES_MAX
    assert {later - sooner for sooner, later in pairwise(times)} <= {1, 2}


async def test_a_moment_is_the_end_of_its_second(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """As the log shows it: whoever copies an entry's time gets the balance after it."""
    made = entry(payment(inn=INN), 0, partition=3)
    later = replace(made, received_at=MOMENT + timedelta(seconds=5, milliseconds=400))
    await ledger.apply(batch(later))
    client = await start(serve, database)
    for at, rubles in (("00:00:04", "0.00"), ("00:00:05", "145,000.00"), ("00:00:05.3", "0.00")):
        _, text, _ = await get(client, f"/organizations/{INN}/?at=2026-04-28T{at}")
        assert f"<strong>{rubles}\u00a0₽</strong>" in text


async def test_what_differs_is_written_as_all_else(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """A date in the zone of the console, and an amount with its kopecks."""
    paid = payment(inn=INN)
    changed = payment(
        inn=INN,
        operation_id=paid.operation_id,
        amount=paid.amount + 1,
        document_date=paid.document_date + timedelta(days=1),
    )
    await ledger.apply(batch(entry(paid, 0, partition=3), entry(changed, 1, partition=3)))
    client = await start(serve, database)
    for path in ("/conflicts/3:1/", "/conflicts/", f"/operations/{paid.operation_id}/"):
        _, text, _ = await get(client, path)
        for said in ("145,000.00\u00a0₽", "145,001.00\u00a0₽"):
            assert said in text, path
        for day in ("2024-04-28 00:00:00", "2024-04-29 00:00:00"):
            assert day in text, path

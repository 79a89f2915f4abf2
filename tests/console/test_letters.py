"""Decisions about dead letters in a real browser: with a mouse, and with keys alone."""

import json

from playwright.sync_api import Locator, Page, expect
from support.console import Console, Open, serious
from support.foreign import produce
from support.journal import INNS
from support.payments import document
from support.system import wait_until

INN = INNS[0]
FOCUSED_MAX = 200
"""Places of a page that can have the focus."""


def test_one_dead_letter_is_corrected_and_others_are_discarded(
    console: Console, open_page: Open
) -> None:
    """The corrected one becomes a payment; who decided, and why, is kept."""
    page = open_page(f"{console.address}/dead-letters/")
    rows = page.locator("tbody tr")
    before = rows.count()
    rows.filter(has_text="is not JSON").first.get_by_role("link").first.click()
    paid = document(payer_inn=INN, document_number="CORRECTED")
    correct = page.locator("form", has=page.get_by_label("The corrected body"))
    correct.get_by_label("The corrected body").fill(json.dumps(paid))
    correct.get_by_label("Your name").fill("Дежурный")
    correct.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("redriven")
    is_paid = "SELECT count(*) FROM payment WHERE operation_id = %s"
    wait_until(lambda: console.system.sql(is_paid, paid["operation_id"]) == [(1,)], "it is applied")
    page.get_by_role("link", name="Back to the list").click()
    expect(rows).to_have_count(before - 1)
    assert page.get_by_label("Your name").input_value() == "Дежурный"
    for row in (rows.nth(0), rows.nth(1)):
        row.get_by_role("checkbox").check()
    page.get_by_label("Why nothing is to be made of it").fill("a test of the bank's")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")  # Nothing is chosen.
    page.get_by_role("radio", name="Discard").check()
    page.get_by_role("button", name="Decide").click()
    assert not serious(page)
    expect(page.get_by_role("status").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("link", name="Back to the list").click()
    expect(rows).to_have_count(before - 3)
    kept = "SELECT decided_by, reason FROM ostatok_service.dead_letter_decision ORDER BY id"
    assert console.system.sql(kept + " OFFSET 1") == [("Дежурный", "a test of the bank's")] * 2


def test_keys_alone_decide_in_russian(console: Console, open_page: Open) -> None:
    """A payment that lay under another's key is chosen and published again, under its own."""
    paid = document(payer_inn=INN)
    letter = "SELECT partition || ':' || \"offset\" FROM dead_letter WHERE operation_id = %s"
    produce(console.system.settings, [{"key": INNS[1], "value": json.dumps(paid).encode()}])
    wait_until(lambda: bool(console.system.sql(letter, paid["operation_id"])), "it is read")
    ((position,),) = console.system.sql(letter, paid["operation_id"])
    page = open_page(f"{console.address}/dead-letters/", locale="ru-RU")
    _go_on_to(page, page.get_by_role("checkbox", name=f"Выбрать {position}", exact=True))
    page.keyboard.press("Space")
    _go_on_to(page, page.get_by_role("radio", name="Опубликовать ещё раз"))
    page.keyboard.press("Space")
    _go_on_to(page, page.get_by_label("Ваше имя"))
    page.keyboard.type("Ночной дежурный")
    _go_on_to(page, page.get_by_role("button", name="Решить"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"{position}: опубликована ещё раз")
    is_paid = "SELECT count(*) FROM payment WHERE operation_id = %s"
    wait_until(lambda: console.system.sql(is_paid, paid["operation_id"]) == [(1,)], "it is applied")
    decided = (
        "SELECT partition || ':' || \"offset\", decision FROM ostatok_service.dead_letter_decision"
        " WHERE decided_by = 'Ночной дежурный'"
    )
    assert console.system.sql(decided) == [(position, "redriven")]


def _go_on_to(page: Page, wanted: Locator) -> None:
    """Press the key that leads from one to the next until the wanted one has the focus."""
    for _ in range(FOCUSED_MAX):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"No key leads to {wanted}.")

"""The API's page in a real browser: it shows the document, tries it, and asks nobody else."""

from support.console import Open
from support.system import System


def test_the_document_can_be_read_and_tried(system: System, open_page: Open) -> None:
    """Every endpoint is shown and opens; the example of the webhook, sent from there, is taken."""
    service = f"http://127.0.0.1:{system.settings.http_port}"
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service}/api/docs")
    page.wait_for_selector(".opblock")
    shown = page.locator(".opblock-summary-control")
    assert shown.count() == 10
    for number in range(shown.count()):
        shown.nth(number).click()
    webhook = page.locator("#operations-bank-webhook")
    webhook.locator(".try-out__btn").click()
    webhook.locator(".execute").click()
    answer = webhook.locator(".live-responses-table .response").first
    for text in ("200", "Payment processed successfully", "ostatok-position"):
        assert text in answer.inner_text()
    assert all(url.startswith((service, "data:")) for url in asked)
    assert f"{service}/api/webhook/bank/" in asked

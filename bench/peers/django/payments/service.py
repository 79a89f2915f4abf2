"""One payment, one transaction: what a synchronous service has to do to be correct."""

from typing import Any

from django.db import IntegrityError, transaction

from payments.models import BalanceLog, Organization, Payment


def process(data: dict[str, Any]) -> None:
    """Count a payment once; one that was counted before changes nothing."""
    try:
        _apply(data)
    except IntegrityError:
        # The unique key decides, also between two that come at once. Any other is an error.
        if not Payment.objects.filter(operation_id=data["operation_id"]).exists():
            raise


@transaction.atomic
def _apply(data: dict[str, Any]) -> None:
    inn, amount, operation_id = data["payer_inn"], data["amount"], data["operation_id"]
    Payment.objects.create(
        operation_id=operation_id,
        inn=inn,
        amount=amount,
        document_number=data["document_number"],
        document_date=data["document_date"],
    )
    # The row's lock: between reading a balance and writing it nobody else may.
    organization, _ = Organization.objects.select_for_update().get_or_create(inn=inn)
    previous = organization.balance
    organization.balance = previous + amount
    organization.save(update_fields=["balance"])
    BalanceLog.objects.create(
        inn=inn,
        operation_id=operation_id,
        amount=amount,
        previous_balance=previous,
        new_balance=organization.balance,
    )

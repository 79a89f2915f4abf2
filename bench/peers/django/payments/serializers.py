"""The grammar of a webhook, the same as Ostatok's as far as DRF's fields go."""

from datetime import UTC, datetime
from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from rest_framework import serializers

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


class PaymentSerializer(serializers.Serializer):
    """One payment of the bank."""

    operation_id = serializers.UUIDField()
    amount = serializers.DecimalField(max_digits=15, decimal_places=2, min_value=Decimal("0.01"))
    payer_inn = serializers.RegexField(r"^[0-9]{10}(?:[0-9]{2})?\Z")
    document_number = serializers.CharField(
        max_length=50, validators=[RegexValidator(r"^[^\x00-\x1f\x7f-\x9f]+\Z")]
    )
    document_date = serializers.DateTimeField(
        validators=[MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
    )

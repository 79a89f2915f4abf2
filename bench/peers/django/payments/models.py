"""Organizations, their payments, and the log of their balances. Money is rubles.

The tables have the names of Ostatok's, so that one check of the money fits both ledgers.
"""

from typing import ClassVar

from django.db import models


class Organization(models.Model):
    """Who pays, and what it has paid."""

    inn = models.CharField(max_length=12, primary_key=True)
    balance = models.DecimalField(max_digits=38, decimal_places=2, default=0)

    class Meta:
        """Its table."""

        db_table = "organization"

    def __str__(self) -> str:
        return self.inn


class Payment(models.Model):
    """One operation of the bank; its key is what makes repeating it safe."""

    operation_id = models.UUIDField(primary_key=True)
    # Without an index, as in Ostatok's ledger: nothing asked here looks for it.
    inn = models.CharField(max_length=12)
    amount = models.DecimalField(max_digits=15, decimal_places=2)
    document_number = models.CharField(max_length=50)
    document_date = models.DateTimeField()

    class Meta:
        """Its table."""

        db_table = "payment"

    def __str__(self) -> str:
        return str(self.operation_id)


class BalanceLog(models.Model):
    """How one payment changed one balance."""

    inn = models.CharField(max_length=12)
    operation_id = models.UUIDField()
    amount = models.DecimalField(max_digits=15, decimal_places=2)
    previous_balance = models.DecimalField(max_digits=38, decimal_places=2)
    new_balance = models.DecimalField(max_digits=38, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Its table, and an index: it is read by INN."""

        db_table = "balance_log"
        indexes: ClassVar = [models.Index(fields=["inn", "id"])]

    def __str__(self) -> str:
        return f"{self.inn}: {self.previous_balance} → {self.new_balance}"

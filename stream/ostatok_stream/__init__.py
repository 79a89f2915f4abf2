"""The stream: from the journal to the ledger. Knows Kafka and the ledger, not HTTP's contract."""

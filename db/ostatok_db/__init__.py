"""The ledger in Postgres: writing it, reading it, and its schema. Knows neither Kafka nor HTTP."""

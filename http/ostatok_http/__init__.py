"""The HTTP service: takes the bank's webhooks in and answers balances."""

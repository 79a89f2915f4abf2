"""The Django app that does Ostatok's job in the request: dedup, balance and log, then 200."""

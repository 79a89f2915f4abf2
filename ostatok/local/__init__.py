"""Postgres and Kafka out of packages, and the supervisor behind ``ostatok up``."""

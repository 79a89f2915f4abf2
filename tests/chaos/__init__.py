"""Faults by chance from a seed against the real processes, and what must hold afterwards."""

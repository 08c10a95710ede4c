"""Measures what the project promises of speed and memory. Run `python -m faceid.bench`; nothing imports it."""

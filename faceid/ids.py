"""Ids of tunes and prompts. Knows how one is made, not what it names or whether it is taken."""

import secrets
from datetime import UTC, datetime

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RANDOM_BITS = 22


def new_id(moment: datetime | None = None) -> int:
    """Seconds since 2026-01-01 UTC times 2^22, plus 22 random bits: grows with time, below 2^53 until 2094.

    Below 2^53 because JavaScript and JSON clients read numbers as doubles. The store makes another where it is taken.
    """
    seconds = int(((moment or datetime.now(UTC)) - EPOCH).total_seconds())
    return (seconds << RANDOM_BITS) + secrets.randbits(RANDOM_BITS)

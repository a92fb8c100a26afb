"""How much a run of the suite does, and which seed it does it with."""

from __future__ import annotations

import os
import random

# `make chaos` asks for the long form; `make test` runs the short one.
LONG = os.environ.get("SPELLCAST_CHAOS") == "long"
# The short form is the same in every run; a long one draws a seed, prints it, and takes it back as SPELLCAST_SEED.
SEED = int(os.environ.get("SPELLCAST_SEED") or (random.SystemRandom().randrange(1_000_000) if LONG else 1))


def size(short: int, long: int) -> int:
    """The number of rounds, of this form of the suite."""
    return long if LONG else short

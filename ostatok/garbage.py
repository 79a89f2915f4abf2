"""How often a service looks for circular garbage."""

import gc

OBJECTS = 10_000
"""How many objects more than at the last look make Python look for circles among the new ones.

What a webhook or a fetch is made of lives until Kafka or Postgres has it. By Python's own measure
(700) it was looked at again and again: with this one a worker takes 0.87 of the processor time.
"""


def look_seldom() -> None:
    """Leave alone what there is now, which a service is made of, and wait for more to look at."""
    gc.freeze()
    gc.set_threshold(OBJECTS)

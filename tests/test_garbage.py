"""How often a service looks for circular garbage."""

import gc

from ostatok import garbage


def test_what_is_there_is_left_alone_and_looks_are_rare() -> None:
    """Neither is a default of Python, and a service has both from when it starts."""
    before = gc.get_threshold()
    try:
        garbage.look_seldom()
        assert gc.get_threshold() == (garbage.OBJECTS, *before[1:])
        assert gc.get_freeze_count() > garbage.OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

"""What a forked child must do before it goes on: locks may be held there by threads that it does not have."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class SurvivesFork(Protocol):
    """Something with locks, or with a connection that stays the parent's."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs."""


_registered: weakref.WeakSet[SurvivesFork] = weakref.WeakSet()


def survive_fork(thing: SurvivesFork) -> None:
    """Have ``thing.after_fork()`` called in each child, for as long as it lives."""
    _registered.add(thing)


def _after_fork() -> None:
    for thing in list(_registered):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""What must be done around a fork: locks may be held in the child by threads that it does not have, and what
is open there is open in the parent too."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol, runtime_checkable


class SurvivesFork(Protocol):
    """Something with locks, or with a connection that stays the parent's."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs."""


@runtime_checkable
class PreparesForFork(Protocol):
    """Something that must not be open while a child is made, such as an SQLite file."""

    def before_fork(self) -> None:
        """Called in the parent before the fork. Other threads run."""

    def after_fork_in_parent(self) -> None:
        """Called in the parent after the fork, whether there is a child or not."""


_registered: weakref.WeakSet[SurvivesFork] = weakref.WeakSet()
_forks = 0
#: One fork at a time, so that two of them never wait for each other's things.
_under_way = threading.Lock()
#: What was prepared for the fork under way. Kept, so that the same things are told of its end.
_prepared: list[PreparesForFork] = []


def survive_fork(thing: SurvivesFork) -> None:
    """Have ``thing.after_fork()`` called in each child, for as long as it lives.

    If it is a :class:`PreparesForFork`, the parent calls its methods as well.
    """
    _registered.add(thing)


def generation() -> int:
    """How many forks lie between this process and the one that imported kvsfast: equal in one process, and
    cheaper to compare than process ids."""
    return _forks


def _before_fork() -> None:
    _under_way.acquire()
    for thing in list(_registered):
        if isinstance(thing, PreparesForFork):
            thing.before_fork()
            _prepared.append(thing)


def _after_fork_in_parent() -> None:
    while _prepared:
        _prepared.pop().after_fork_in_parent()
    _under_way.release()


def _after_fork() -> None:
    global _forks, _under_way
    _forks += 1
    _under_way = threading.Lock()
    _prepared.clear()
    for thing in list(_registered):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )

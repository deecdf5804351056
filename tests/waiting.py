"""Waiting for what comes to pass by itself, and counting what stays behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator

#: No test waits so long, in seconds, unless something hangs.
PATIENCE = 60.0


def wait_for(condition: Callable[[], object]) -> None:
    """Until it is true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it does not come to pass"
        time.sleep(0.005)


def open_files() -> int:
    """Descriptors of this process, as Linux shows them. What was dropped without close warns."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def nothing_stays_behind() -> Iterator[None]:
    """No more threads and open files afterwards than before; those of other tests may end meanwhile."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files

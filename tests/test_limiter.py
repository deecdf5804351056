"""Calls and connections per stream, in one process."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from kvsfast.errors import ConnectionLimitExceededException, TransportTimeout
from kvsfast.limiter import Limiter, shared_limiter
from tests.wire import HANG


def test_connections() -> None:
    limiter = Limiter(connections=2)
    first = limiter.acquire_connection("door", wait=False)
    limiter.acquire_connection("door", wait=False)
    with pytest.raises(ConnectionLimitExceededException, match="2 connections") as caught:
        limiter.acquire_connection("door", wait=False)
    assert caught.value.code == "ConnectionLimitExceededException" and caught.value.retryable
    limiter.acquire_connection("other", wait=False)
    first()
    first()  # gives back no more than it took
    limiter.acquire_connection("door", wait=False)
    with pytest.raises(ConnectionLimitExceededException):
        limiter.acquire_connection("door", wait=False)


def test_waiting_for_a_connection() -> None:
    limiter = Limiter(connections=1)
    release = limiter.acquire_connection("door", wait=False)
    with pytest.raises(TransportTimeout):
        limiter.acquire_connection("door", wait=True, deadline=time.monotonic() + 0.02)
    got = threading.Event()

    def wait() -> None:
        limiter.acquire_connection("door", wait=True)()
        got.set()

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert not got.is_set()
    release()
    for thread in threads:
        thread.join(HANG)
        assert not thread.is_alive()
    limiter.acquire_connection("door", wait=False)


def test_calls_are_spread() -> None:
    limiter = Limiter(calls_per_second=3)
    started = time.monotonic()
    for _ in range(4):
        limiter.acquire_call("door")
    assert time.monotonic() - started >= 1.0  # a lower bound: no machine is too slow for it
    limiter = Limiter(calls_per_second=3)
    for _ in range(3):
        limiter.acquire_call("door", deadline=time.monotonic() + HANG)
    with pytest.raises(TransportTimeout, match="calls per second"):
        limiter.acquire_call("door", deadline=time.monotonic() + 0.1)
    for _ in range(3):
        limiter.acquire_call("other", deadline=time.monotonic() + 0.1)


def test_nothing_is_kept_of_streams_that_are_gone() -> None:
    limiter = Limiter()
    for i in range(100):
        limiter.acquire_call(i)
        limiter.acquire_connection(i, wait=False)()
    assert not limiter._open
    for calls in limiter._calls.values():
        calls[0] -= 10
    limiter.acquire_call("last")
    assert set(limiter._calls) == {"last"}


def _child(key: str) -> None:
    for _ in range(3):
        shared_limiter.acquire_connection(key, wait=False)


def test_a_forked_child_starts_afresh() -> None:
    releases = [shared_limiter.acquire_connection("forked", wait=False) for _ in range(3)]
    child = multiprocessing.get_context("fork").Process(target=_child, args=("forked",))
    child.start()
    child.join(HANG)
    assert child.exitcode == 0
    for release in releases:
        release()

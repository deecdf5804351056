"""Calls and connections per stream, in one process."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from kvsfast.errors import ConnectionLimitExceededException, TransportTimeout
from kvsfast.limiter import Limiter, shared_limiter
from kvsfast.steps import Turn, drive
from tests.wire import HANG


def test_connections() -> None:
    limiter = Limiter(connections=2)
    first = drive(limiter.acquire_connection("door", wait=False))
    drive(limiter.acquire_connection("door", wait=False))
    with pytest.raises(ConnectionLimitExceededException, match="2 connections") as caught:
        drive(limiter.acquire_connection("door", wait=False))
    assert caught.value.code == "ConnectionLimitExceededException" and caught.value.retryable
    drive(limiter.acquire_connection("other", wait=False))
    first()
    first()  # gives back no more than it took
    drive(limiter.acquire_connection("door", wait=False))
    with pytest.raises(ConnectionLimitExceededException):
        drive(limiter.acquire_connection("door", wait=False))


def test_waiting_for_a_connection() -> None:
    limiter = Limiter(connections=1)
    release = drive(limiter.acquire_connection("door", wait=False))
    with pytest.raises(TransportTimeout):
        drive(limiter.acquire_connection("door", wait=True), time.monotonic() + 0.02)
    got = threading.Event()

    def wait() -> None:
        drive(limiter.acquire_connection("door", wait=True))()
        got.set()

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert not got.is_set()
    release()
    for thread in threads:
        thread.join(HANG)
        assert not thread.is_alive()
    drive(limiter.acquire_connection("door", wait=False))


def test_calls_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = Limiter(calls_per_second=3)
    started = time.monotonic()
    for _ in range(4):
        drive(limiter.acquire_call("door"))
    assert time.monotonic() - started >= 1.0  # a lower bound: no machine is too slow for it
    monkeypatch.setattr("kvsfast.limiter.WINDOW", 1000.0)
    limiter = Limiter(calls_per_second=3)
    for _ in range(3):
        drive(limiter.acquire_call("door", deadline=time.monotonic() + HANG))
    with pytest.raises(TransportTimeout, match="calls per second"):
        drive(limiter.acquire_call("door", deadline=time.monotonic() + 0.1))
    for _ in range(3):
        drive(limiter.acquire_call("other", deadline=time.monotonic() + 0.1))


def test_nothing_is_kept_of_streams_that_are_gone() -> None:
    limiter = Limiter()
    for i in range(100):
        drive(limiter.acquire_call(i))
        drive(limiter.acquire_connection(i, wait=False))()
    assert not limiter._open
    for calls in limiter._calls.values():
        calls[0] -= 10
    drive(limiter.acquire_call("last"))
    assert set(limiter._calls) == {"last"}


def _child(key: str) -> None:
    for _ in range(3):
        drive(shared_limiter.acquire_connection(key, wait=False))


def test_a_forked_child_starts_afresh() -> None:
    releases = [drive(shared_limiter.acquire_connection("forked", wait=False)) for _ in range(3)]
    child = multiprocessing.get_context("fork").Process(target=_child, args=("forked",))
    child.start()
    child.join(HANG)
    assert child.exitcode == 0
    for release in releases:
        release()


def test_who_waits_is_served_in_turn_and_may_give_up() -> None:
    limiter = Limiter(connections=1)
    release = drive(limiter.acquire_connection("door", wait=True))
    impatient, patient = (limiter.acquire_connection("door", wait=True) for _ in range(2))
    turns = [next(impatient), next(patient)]
    assert all(isinstance(turn, Turn) for turn in turns)
    with pytest.raises(KeyboardInterrupt):
        impatient.throw(KeyboardInterrupt())
    release()
    assert isinstance(turns[1], Turn) and turns[1].future.done()
    with pytest.raises(StopIteration) as got:
        patient.send(turns[1].future.result())
    got.value.value()
    # One who gives up when the turn was already given passes it on.
    release = drive(limiter.acquire_connection("door", wait=True))
    late = limiter.acquire_connection("door", wait=True)
    next(late)
    release()
    with pytest.raises(KeyboardInterrupt):
        late.throw(KeyboardInterrupt())
    assert not limiter._open and not limiter._waiting

"""The hot paths in memory: nanoseconds per frame through the public iterators, and HTTP decoding in GB/s,
each beside a C program that does no more than must be done, in the same run.

CPU time of the process, so that a neighbour on the same core costs caches but no time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import kvsfast
from benchmarks import media, native, wire
from benchmarks.contenders.ours import touch
from benchmarks.job import Sums
from benchmarks.machine import ROOT
from benchmarks.reference import walk
from benchmarks.rivals.memory import InMemory
from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast.emulator.framing import LAST_CHUNK, Framing

__all__ = [
    "BODIES",
    "BODY_SIZE",
    "Body",
    "CASES",
    "Media",
    "ObjectLimit",
    "SHAPES",
    "Timing",
    "decode",
    "measure_bodies",
    "measure_frames",
]

FRAME_SIZE = 200
FRAMES = 100_000
WINDOW = 65_536
BODY_SIZE = 4_480_000
#: What is left when copying is taken off is small, so it is measured more often.
BODY_ROUNDS = 5


Media = bytes | bytearray


@dataclass(frozen=True)
class Shape:
    """``FRAMES`` frames of 200 bytes in documents of ``frames_per_document``."""

    frames_per_document: int

    @functools.cached_property
    def documents(self) -> bytes:
        count = FRAMES // self.frames_per_document
        return media.service_documents([[FRAME_SIZE] * self.frames_per_document] * count)

    @functools.cached_property
    def changeable(self) -> bytearray:
        """The same. ``bytes`` are read where they are; of what could change each window is copied into
        the reader's buffer, as a receive does."""
        return bytearray(self.documents)

    @functools.cached_property
    def sums(self) -> Sums:
        """By the reference reader."""
        return walk(self.documents)


SHAPES = {"tiny": Shape(1000), "kvs_tiny": Shape(80)}


# -- frames. Each case returns something that shows that it went over all of them.


def columns(documents: Media) -> int:
    count = 0
    for fragment in kvsfast.parse(documents).fragments():
        with memoryview(fragment.columns) as rows:
            count += len(rows)
    return count


def frames(documents: Media) -> int:
    for frame in kvsfast.parse(documents).frames():  # noqa: B007  (the last one is looked at)
        pass
    return frame.media_time_ns


def one_attribute(documents: Media) -> int:
    total = 0
    for frame in kvsfast.parse(documents).frames():
        total += frame.media_time_ns
    return total


def touched(documents: Media) -> Sums:
    return touch(kvsfast.parse(documents).frames())


def events(documents: Media) -> kvsfast.FragmentEnd:
    for event in kvsfast.parse(documents).events():  # noqa: B007  (the last one is looked at)
        pass
    assert isinstance(event, kvsfast.FragmentEnd)
    return event


def fragment_frames(documents: Media) -> int:
    for fragment in kvsfast.parse(documents).fragments():
        for frame in fragment.frames:  # noqa: B007  (the last one is looked at)
            pass
    return frame.media_time_ns


@dataclass(frozen=True)
class Case:
    """``run`` is timed; ``holds`` tells whether its result is right."""

    title: str
    run: Callable[[Media], Any]
    holds: Callable[[Shape, Any], bool]
    is_received: bool = False

    def media(self, shape: Shape) -> Media:
        return shape.changeable if self.is_received else shape.documents


def _is_last_time(shape: Shape, time_ns: int) -> bool:
    return time_ns == (FRAMES - 1) * media.FRAME_MS * 1_000_000


def _are_all(shape: Shape, count: int) -> bool:
    return count == shape.sums.frames


CASES = {
    "columns": Case("fragments(): columns", columns, _are_all),
    "frames": Case("frames(): iterated", frames, _is_last_time),
    "one_attribute": Case(
        "frames(): one attribute read", one_attribute, lambda shape, total: bool(total == shape.sums.time_ns)
    ),
    "touched": Case(
        "frames(): touched (time, length, 2 bytes)", touched, lambda shape, sums: bool(sums == shape.sums)
    ),
    "events": Case(
        "events(): iterated",
        events,
        lambda shape, end: bool(end.is_complete and end.frame_count == shape.frames_per_document),
    ),
    "fragment_frames": Case("fragments(): frames iterated", fragment_frames, _is_last_time),
    "columns_received": Case(
        "fragments(): columns, copied in as received", columns, _are_all, is_received=True
    ),
    "frames_received": Case(
        "frames(): iterated, copied in as received", frames, _is_last_time, is_received=True
    ),
}


# -- what CPython costs by itself


class ObjectLimit:
    """``c/object_limit.c``: an object for each of so many rows that are ready, nothing parsed."""

    def __init__(self) -> None:
        self._frames = native.load("object_limit").frames

    def iterate(self, count: int) -> None:
        for _ in self._frames(count):
            pass

    def read_attribute(self, count: int) -> int:
        total = 0
        for frame in self._frames(count):
            total += frame.time
        return total

    @property
    def cases(self) -> dict[str, Callable[[int], Any]]:
        return {
            "CPython: an object a frame, nothing parsed": self.iterate,
            "CPython: the same, one attribute read": self.read_attribute,
        }


# -- HTTP decoding


@dataclass(frozen=True)
class Body:
    """A chunked body of about 4.5 MB, so that a cache holds it, in pieces of these sizes."""

    title: str
    pieces: Callable[[], list[int]]

    @functools.cached_property
    def wire(self) -> bytes:
        pieces = self.pieces()
        payload = bytes(range(256)) * 256
        payload *= max(1, BODY_SIZE // len(payload))
        return Framing(pieces).frame(payload)[0] + LAST_CHUNK

    @functools.cached_property
    def payload_bytes(self) -> int:
        at = payload = 0
        while size := int(self.wire[at : (end := self.wire.index(b"\r", at))], 16):
            payload += size
            at = end + 2 + size + 2
        return payload


BODIES = {
    "1080p": Body("1080p pieces", lambda: wire.recorded_pieces() or wire.synthetic_pieces()),
    "audio": Body("audio pieces, 13 + 160 bytes", wire.audio_pieces),
}


def decode(body: bytes) -> int:
    """The way of received bytes: into the buffer's window, framing off, payload taken."""
    buffer = ReceiveBuffer(window=WINDOW)
    return _through(body, buffer, BodyDecoder(buffer, chunked=True).commit)


def copy_in(body: bytes) -> int:
    """The same without decoding: what is not the decoder's share of ``decode``."""
    buffer = ReceiveBuffer(window=WINDOW)
    return _through(body, buffer, buffer.commit)


def _through(body: bytes, buffer: ReceiveBuffer, commit: Callable[[int], None]) -> int:
    source = memoryview(body)
    sink = bytearray(WINDOW)
    at = payload = 0
    while at < len(body):
        with memoryview(buffer) as window:
            size = min(len(window), len(body) - at)
            window[:size] = source[at : at + size]
        commit(size)
        payload += buffer.take_into(sink)
        at += size
    return payload


# -- timing


@dataclass(frozen=True)
class Timing:
    """``median`` and ``best`` over the ``rounds``: ns per frame, or GB of wire bytes per second of CPU."""

    title: str
    median: float
    best: float
    rounds: list[float]


def measure_frames(shape: Shape, rounds: int, rivals: Sequence[InMemory] = ()) -> list[Timing]:
    """First what is in C, if it can be built, then each case, then the rivals; all take turns."""
    for name, case in CASES.items():
        result = case.run(case.media(shape))
        assert case.holds(shape, result), f"{name} is wrong: {result}"
    seconds: dict[str, list[float]] = {}
    limits = {} if native.missing() else ObjectLimit().cases
    with _stored(shape.documents) as path:
        for _ in range(rounds):
            if limits:
                told = _ask([str(native.build("push_copy")), path, "2"])
                assert Sums(**told["sums"]) == shape.sums, f"push_copy is wrong: {told['sums']}"
                seconds.setdefault("C: push parser, payload copied", []).extend(told["seconds"][1:])
            for title, run in limits.items():
                seconds.setdefault(title, []).append(_cpu_seconds(run, FRAMES))
            for case in CASES.values():
                seconds.setdefault(case.title, []).append(_cpu_seconds(case.run, case.media(shape)))
            for rival in rivals:
                told = _ask(rival.command(path, 1))
                assert Sums(**told["sums"]) == shape.sums, f"{rival.title} is wrong: {told['sums']}"
                seconds.setdefault(rival.title, []).extend(told["seconds"][rival.warm_up :])
    return [_per_frame(title, all_) for title, all_ in seconds.items()]


def measure_bodies(body: Body, rounds: int) -> list[Timing]:
    """Wire bytes decoded per second of CPU, copying in and out not counted: C, then kvsfast."""
    assert decode(body.wire) == body.payload_bytes
    assert copy_in(body.wire) == len(body.wire)
    alone: dict[str, list[float]] = {}
    both: dict[str, list[float]] = {}
    with _stored(body.wire) as path:
        for _ in range(rounds):
            if not native.missing():
                told = _ask([str(native.build("dechunk")), path, str(BODY_ROUNDS + 1)])
                assert told["payload"] == body.payload_bytes, f"dechunk is wrong: {told['payload']}"
                both.setdefault("C: plain loop, nothing verified", []).extend(told["seconds"][1:])
                alone.setdefault("C: plain loop, nothing verified", []).extend(told["copying"][1:])
            for _ in range(BODY_ROUNDS):
                both.setdefault("kvsfast BodyDecoder, hardened", []).append(_cpu_seconds(decode, body.wire))
                alone.setdefault("kvsfast BodyDecoder, hardened", []).append(_cpu_seconds(copy_in, body.wire))
    return [_rate(title, both[title], alone[title], len(body.wire)) for title in both]


def _cpu_seconds(run: Callable[[Any], Any], data: Media | int) -> float:
    began = time.process_time()
    run(data)
    return time.process_time() - began


@contextlib.contextmanager
def _stored(data: bytes) -> Iterator[str]:
    """The path of a file that holds it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "input")
        path.write_bytes(data)
        yield str(path)


def _ask(command: list[str]) -> dict[str, Any]:
    """What a program says that goes over a file; its first round warms up."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _per_frame(title: str, seconds: list[float]) -> Timing:
    ns = [1e9 * value / FRAMES for value in seconds]
    return Timing(title, median(ns), min(ns), ns)


def _rate(title: str, seconds: list[float], copying: list[float], size: int) -> Timing:
    """The least copying is taken off: what disturbs a round counts as decoding."""
    alone = min(copying)
    rounds = [size / 1e9 / max(both - alone, 1e-9) for both in seconds]
    return Timing(title, median(rounds), max(rounds), rounds)

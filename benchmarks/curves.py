"""Cost against size: each must be a straight line.

In memory, in CPU time, the least of several rounds: what is asked is the shape, not the height. A curve is
straight when the line explains the points, and when the square term of a parabola through them has a small
share of the cost at the largest size. Where sizes reach beyond the caches, payload is given out of one window
again and again, as it would come hot out of a receive; otherwise memory would bend the curve, not kvsfast.
"""

from __future__ import annotations

import functools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import kvsfast
from benchmarks import media
from benchmarks.micro import WINDOW, decode
from kvsfast.emulator.framing import LAST_CHUNK, Framing

__all__ = ["CURVES", "Curve", "Fit", "Point", "fit", "measure"]

#: Share of the cost at the largest size that the square term may have; all of it, where cost is quadratic.
MOST_CURVED = 0.3
LEAST_R_SQUARED = 0.96
#: Bytes of an HTTP piece: the median of what was recorded.
PIECE = 20
#: Processes, one after the other.
PASSES = 3


@dataclass(frozen=True)
class Point:
    x: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """``seconds = intercept + slope * x``, and how well that holds."""

    intercept: float
    slope: float
    r_squared: float
    curved: float

    @property
    def is_straight(self) -> bool:
        return self.r_squared >= LEAST_R_SQUARED and self.curved <= MOST_CURVED


@dataclass(frozen=True)
class Curve:
    """``prepare(x)`` makes the input outside of what is timed, and gives what is timed."""

    title: str
    unit: str
    sizes: Sequence[int]
    prepare: Callable[[int], Callable[[], object]]


def _windows(documents: bytes) -> Iterator[bytes]:
    """As received."""
    return (documents[at : at + WINDOW] for at in range(0, len(documents), WINDOW))


def _drain(events: Iterable[object]) -> int:
    return sum(1 for _ in events)


def _frames_of(documents: bytes) -> Callable[[], object]:
    return lambda: _drain(kvsfast.parse(_windows(documents)).frames())


def _hot(frames: int, size: int) -> Iterator[bytes]:
    """The windows of a document of such frames, all payload out of the same memory."""
    yield media.service_head(0) + media.CLUSTER_OF_UNKNOWN_SIZE + media.number("E7", 0)
    head, window = media.simple_block(0, bytes(size))[:-size], bytes(WINDOW)
    for _ in range(frames):
        yield head
        for left in range(size, 0, -WINDOW):
            yield window if left >= WINDOW else window[:left]


def _frame_size(size: int) -> Callable[[], object]:
    return lambda: _drain(kvsfast.parse(_hot(20, size)).frames())


def _frame_count(count: int) -> Callable[[], object]:
    return _frames_of(media.service_documents([[200] * 1000] * (count // 1000)))


def _fragment_size(size: int) -> Callable[[], object]:
    return lambda: _drain(kvsfast.parse(_hot(size // 100_000, 100_000)).fragments())


def _pieces(count: int) -> Callable[[], object]:
    wire = Framing([PIECE]).frame(bytes(PIECE * count))[0] + LAST_CHUNK
    return functools.partial(decode, wire)


def _tags(count: int) -> Callable[[], object]:
    head, cluster = media.service_head(0), media.clusters([[1000]])[0]
    return _frames_of((head + media.user_tags(count) + cluster) * 20)


def _tracks(count: int) -> Callable[[], object]:
    return _frames_of(b"".join(media.many_tracks(count, frames_each=20) for _ in range(20)))


def _streams(count: int) -> Callable[[], object]:
    """So many parsers, a window for each in turn. What all of them hold fits into a cache."""
    documents = media.service_documents([[200] * 50] * 40)

    def run() -> int:
        parsers = [kvsfast.FragmentParser() for _ in range(count)]
        events = 0
        for window in _windows(documents):
            for parser in parsers:
                parser.receive_data(window)
                while parser.next_event() is not None:
                    events += 1
        return events

    return run


CURVES = {
    "frame-size": Curve("frame size", "bytes a frame", [100_000 * at for at in range(1, 9)], _frame_size),
    "frames": Curve("number of frames", "frames", [10_000 * at for at in range(1, 9)], _frame_count),
    "fragment-size": Curve(
        "fragment size", "bytes", [1_000_000 * at for at in (1, 5, 10, 20, 30, 40, 50, 60)], _fragment_size
    ),
    "pieces": Curve("HTTP pieces of one body", "pieces", [25_000 * at for at in range(1, 9)], _pieces),
    "tags": Curve("tags of a fragment", "tags", [100 * at for at in range(1, 9)], _tags),
    "tracks": Curve("number of tracks", "tracks", [8 * at for at in range(1, 9)], _tracks),
    "streams": Curve("number of streams", "streams", [32 * at for at in range(1, 9)], _streams),
}


def measure(curve: Curve, rounds: int) -> list[Point]:
    """The least of several processes: all rounds of a size are over within some milliseconds, what disturbs a
    machine stays longer, and in one process the pool of buffers would remember the sizes of before."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as processes:
        passes = list(processes.map(_pass, [curve] * PASSES, [rounds] * PASSES))
    return [Point(size, min(seconds)) for size, *seconds in zip(curve.sizes, *passes, strict=True)]


def _pass(curve: Curve, rounds: int) -> list[float]:
    """Seconds of each size: one after the other, so that each finds the pool as it left it itself."""
    least = []
    for size in curve.sizes:
        run = curve.prepare(size)
        seconds = []
        for _ in range(rounds):
            began = time.process_time()
            run()
            seconds.append(time.process_time() - began)
        least.append(min(seconds))
    return least


def fit(points: Sequence[Point]) -> Fit:
    """By least squares."""
    import numpy as np

    x, y = np.array([point.x for point in points]), np.array([point.seconds for point in points])
    slope, intercept = np.polyfit(x, y, 1)
    left = float(((y - intercept - slope * x) ** 2).sum())
    square = float(np.polyfit(x / x.max(), y, 2)[0])
    r_squared = 1 - left / float(((y - y.mean()) ** 2).sum())
    return Fit(float(intercept), float(slope), r_squared, max(0.0, square) / float(y.max()))

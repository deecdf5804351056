"""The benchmarks in memory at a single round: that what they time is right. Nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks.micro import BODIES, CASES, FRAMES, SHAPES, decode, measure_bodies, measure_frames


@pytest.mark.parametrize("name", SHAPES)
def test_every_case_reads_all_frames(name: str) -> None:
    shape = SHAPES[name]
    assert shape.sums.frames == FRAMES
    timings = measure_frames(shape, rounds=1)  # asserts the results, the C program's too
    assert {case.title for case in CASES.values()} <= {timing.title for timing in timings}
    assert all(timing.median > 0 for timing in timings)


@pytest.mark.parametrize("name", BODIES)
def test_http_decoding_is_what_is_timed(name: str) -> None:
    body = BODIES[name]
    assert decode(body.wire) == body.payload_bytes < len(body.wire)
    assert all(timing.median > 0 for timing in measure_bodies(body, rounds=1))


def test_a_case_that_skips_frames_is_noticed() -> None:
    shape = SHAPES["kvs_tiny"]
    for case in CASES.values():
        assert not case.holds(shape, case.run(shape.documents[: len(shape.documents) // 2 - 5000]))

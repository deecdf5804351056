"""The cases of :mod:`benchmarks.micro` under pytest-benchmark: ``pytest benchmarks --benchmark-only``.

A run of a frame case goes over 100,000 frames, so 1 ms is 10 ns a frame; ``ns_per_frame`` is in the extra
info. Results are checked before anything is timed."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro import BODIES, CASES, FRAMES, SHAPES, decode


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_frames(benchmark: BenchmarkFixture, shape: str, case: str) -> None:
    documents = CASES[case].media(SHAPES[shape])
    assert CASES[case].holds(SHAPES[shape], CASES[case].run(documents))
    benchmark.group = f"200-byte frames, {shape}"
    benchmark(CASES[case].run, documents)
    if benchmark.stats:
        benchmark.extra_info["ns_per_frame"] = 1e9 * benchmark.stats.stats.median / FRAMES


@pytest.mark.parametrize("body", BODIES)
def test_http_decoding(benchmark: BenchmarkFixture, body: str) -> None:
    data = BODIES[body].wire
    assert decode(data) == BODIES[body].payload_bytes
    benchmark.group = "HTTP chunks decoded, with a copy into the window and one out of it"
    benchmark(decode, data)
    if benchmark.stats:
        benchmark.extra_info["gigabytes_per_second"] = len(data) / 1e9 / benchmark.stats.stats.median

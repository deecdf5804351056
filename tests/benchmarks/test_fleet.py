"""Many streams, of which a few for a moment: that each is read as fast as it comes. Nothing is timed."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.fleet import FLEETS, READERS, missing, run_fleet


@pytest.mark.parametrize("reader", READERS)
def test_every_stream_is_read(reader: str) -> None:
    if why := missing(reader):
        pytest.skip(why)
    fleet = dataclasses.replace(FLEETS["tls"], streams=3, rate=100_000)
    outcome = run_fleet(fleet, reader, seconds=1)
    assert 0 < outcome.slowest <= outcome.median
    assert outcome.megabytes_per_second > 0 and outcome.peak_bytes > 0

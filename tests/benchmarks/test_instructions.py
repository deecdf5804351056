"""The gate: that the hot paths take as many instructions as recorded."""

from __future__ import annotations

import pytest

from benchmarks import instructions


@pytest.mark.skipif(instructions.missing() is not None, reason=str(instructions.missing()))
def test_hot_paths_take_the_recorded_instructions() -> None:
    known, here = instructions.recorded(), instructions.toolchain()
    if known.toolchain != here:
        pytest.skip(f"recorded with {known.toolchain}, this is {here}")
    changes = instructions.compare(known.counts, instructions.measure())
    assert not changes, "python -m benchmarks instructions --record, if that is meant: " + "; ".join(changes)


def test_every_path_is_recorded() -> None:
    counts = instructions.recorded().counts
    assert counts.keys() == instructions.PATHS.keys()
    assert all(count > 0 for count in counts.values())


def test_a_change_beyond_the_tolerance_is_named() -> None:
    old = {"scan": 100.0, "frames": 200.0, "gone": 1.0}
    assert instructions.compare(old, {"scan": 101.9, "frames": 196.1, "gone": 1.0}) == []
    worse, gone, new = instructions.compare(old, {"scan": 102.1, "frames": 200.0, "new": 1.0})[::-1]
    assert worse == "scan: 100.0 -> 102.1 instructions (+2.1 %)"
    assert gone.startswith("new: not recorded") and new.startswith("gone: recorded")

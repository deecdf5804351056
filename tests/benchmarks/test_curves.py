"""Curves of cost against size: that a straight line is told from others. No time is judged."""

from __future__ import annotations

import pytest

from benchmarks.curves import CURVES, Point, fit


@pytest.mark.parametrize("name", CURVES)
def test_each_curve_goes_over_all_of_its_input(name: str) -> None:
    curve = CURVES[name]
    small, large = curve.prepare(curve.sizes[0])(), curve.prepare(curve.sizes[1])()
    assert small
    if name in ("frames", "tracks", "streams"):
        assert isinstance(small, int) and isinstance(large, int)
        assert large / small == pytest.approx(curve.sizes[1] / curve.sizes[0], rel=0.01)


def test_a_line_is_straight_and_a_parabola_is_not() -> None:
    sizes = range(1, 9)
    line = fit([Point(x, 0.3 + 0.1 * x) for x in sizes])
    assert line.is_straight
    assert line.intercept == pytest.approx(0.3)
    assert line.slope == pytest.approx(0.1)
    assert not fit([Point(x, 0.01 * x**2) for x in sizes]).is_straight
    assert not fit([Point(x, 0.1 * x + 0.02 * x**2) for x in sizes]).is_straight
    assert not fit([Point(x, x % 2) for x in sizes]).is_straight

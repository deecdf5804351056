"""Pictures of small records: that each is painted, and what is missing is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.plots import draw

pytest.importorskip("matplotlib", reason="no matplotlib (pip install 'kvsfast[bench]')")

ABOUT = {"date": "2026-01-01T00:00:00", "machine": "a machine", "python": "3", "commit": "abc"}


def _standing(contender: str, kind: str, reads: str, cpu: float) -> dict[str, object]:
    return {"contender": contender, "title": contender, "kind": kind, "reads": reads, "cpu_median": cpu}


def test_each_kind_of_record_has_its_picture(tmp_path: Path) -> None:
    lane = {
        "workload": "1080p",
        "transport": "tls",
        "title": "1080p",
        "standings": [
            _standing("bare", "floor", "wire", 0.5),
            _standing("frames", "kvsfast", "frames", 0.6),
            _standing("ebmlite", "rival", "frames", 60.0),
        ],
    }
    timing = {"title": "frames(): iterated", "median": 50.0, "best": 40.0}
    delay = {"reader": "kvsfast frames()", "transport": "tcp", "median_ms": 0.1}
    points = [{"x": x, "seconds": 0.1 * x} for x in (1, 2, 3)]
    curve = {
        "title": "frames",
        "unit": "frames",
        "points": points,
        "slope": 0.1,
        "intercept": 0.0,
        "r_squared": 1.0,
    }
    session = {
        "title": "frames()",
        "limit_bytes": 50 << 20,
        "points": [{"read_bytes": 10**9 * at, "resident_bytes": 40 << 20} for at in range(3)],
    }
    records: list[dict[str, object]] = [
        {"lanes": [lane]},
        {"tiny": [timing]},
        {"delays": [delay]},
        {"curves": [curve]},
    ]
    records.append({"sessions": [session]})
    written = draw([{"about": ABOUT, **record} for record in records], tmp_path)
    assert [path.name for path in written] == [
        "cpu-1080p-tls.png",
        "per-frame.png",
        "latency.png",
        "curves.png",
        "memory.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in written)
    assert draw([{"about": ABOUT}], tmp_path) == []

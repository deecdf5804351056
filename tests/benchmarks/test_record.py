"""The record: that steps are kept, that goals are judged by what is in it, and that the pages say what it
says. No time is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands import record as command
from benchmarks.record import runner
from benchmarks.record.figures import Figures, Ratio, ratio
from benchmarks.record.goals import Verdict, verdicts
from benchmarks.record.pages import filled, render
from benchmarks.record.steps import FULL, QUICK, Step
from benchmarks.record.store import Done, Record
from benchmarks.record.summary import summary
from benchmarks.record.tables import BLOCKS

ABOUT = {
    "date": "2026-01-01T00:00:00+00:00",
    "machine": "a machine",
    "system": "Linux 6",
    "load": "0.1",
    "python": "3",
    "commit": "abc",
    "command": "python -m benchmarks record",
    "rivals": "none",
}
CPU = {
    "bare": [0.5, 0.6, 0.4],
    "bare-fragments": [0.5, 0.5, 0.5],
    "c-receive": [0.4, 0.4, 0.4],
    "frames": [0.5, 0.72, 0.48],
    "fragments": [0.6, 0.6, 0.6],
    "boto3": [1.5, 1.5, 1.5],
}


def _standing(name: str, cpu: list[float]) -> dict[str, Any]:
    return {
        "contender": name,
        "title": name,
        "reads": "frames" if name.startswith("fra") else "bytes",
        "kind": "kvsfast" if name.startswith("fra") else "rival",
        "cpu": cpu,
        "cpu_median": sorted(cpu)[1],
        "cpu_least": min(cpu),
        "to_bare": 1.0,
        "megabytes_per_second": 100.0,
        "peak_mib": 30.0,
    }


def _timing(title: str, ns: float) -> dict[str, Any]:
    return {"title": title, "median": ns, "best": ns, "rounds": [ns]}


def _results() -> dict[str, dict[str, Any]]:
    """What each step would write, in little."""
    lane = {"workload": "1080p", "standings": [_standing(name, cpu) for name, cpu in CPU.items()]}
    points = [{"read_bytes": 10**9 * at, "resident_bytes": 40 << 20} for at in range(1, 11)]
    fleet = {"title": "1,000 streams of 2 Mbit/s", "streams": 1000, "rate": 250_000, "transport": "tcp"}
    curve = {"slope": 0.5, "intercept": 0.0, "r_squared": 1.0, "curved": 0.0}
    delay = {"median_ms": 0.1, "p95_ms": 0.2, "from_before_ms": 0.3, "each_ms": [0.1, 0.2, -0.1]}
    return {
        "race-1080p": {
            "lanes": [{**lane, "transport": transport} for transport in ("tcp", "tls")],
            "skipped": {"go-sdk-v1": "no Go"},
        },
        "micro": {
            "tiny": [
                _timing("C: push parser, payload copied", 20),
                _timing("fragments(): columns", 35),
                _timing("CPython: an object a frame, nothing parsed", 7),
                _timing("frames(): iterated", 50),
                _timing("frames(): one attribute read", 55),
            ],
            "http-1080p": [_timing("C: plain loop, nothing verified", 60), _timing("kvsfast", 16)],
        },
        "micro-rivals": {"tiny": [_timing("frames(): iterated", 50), _timing("C++: libwebm", 300)]},
        "latency": {
            "delays": [{"reader": "kvsfast frames()", "transport": one, **delay} for one in ("tcp", "tls")]
        },
        "curves": {
            "curves": [
                {
                    "title": "frames",
                    "unit": "frames",
                    "points": [{"x": x, "seconds": 0.5 * x} for x in (1, 2, 3)],
                    **curve,
                }
            ]
        },
        "session-tcp": {
            "sessions": [
                {
                    "title": "frames(), tcp",
                    "base_bytes": 38 << 20,
                    "peak_bytes": 40 << 20,
                    "limit_bytes": 46 << 20,
                    "points": points,
                }
            ]
        },
        "fleet": {
            "fleets": [
                {
                    "fleet": fleet,
                    "reader": "kvsfast consume_many",
                    "share": 0.4,
                    "megabytes_per_second": 250.0,
                    "peak_bytes": 90 << 20,
                    "slowest": 0.99,
                    "median": 1.0,
                }
            ]
        },
    }


@pytest.fixture
def record() -> Record:
    steps = {name: Done(f"python -m benchmarks {name}", 1.0, None, made) for name, made in _results().items()}
    return Record(dict(ABOUT), steps | {"start": Done("python -m benchmarks start", 2.0, "it broke", None)})


def _verdict(record: Record, what: str) -> Verdict:
    return next(verdict for verdict in verdicts(Figures(record)) if verdict.what == what)


# -- figures


def test_a_ratio_is_the_median_of_each_round() -> None:
    assert ratio([0.5, 0.72, 0.48], [0.5, 0.6, 0.4]) == Ratio(1.2, 0.48 / 0.4, 3)
    assert ratio([2.0], [1.0, 100.0]) == Ratio(2.0, 2.0, 1)
    assert ratio([], [1.0]) is None and ratio([1.0], None) is None


def test_goals_are_judged_by_the_median_and_show_the_limit(record: Record) -> None:
    missed = _verdict(record, "TLS: `frames()` / the bare loop")
    assert (missed.reached, missed.met) == ("1.20 (1.20)", False)
    assert missed.limit == "C that only receives: 0.80; ours 1.25 × C"
    assert _verdict(record, "TCP: `frames()` / the bare loop").met is True
    assert _verdict(record, "TLS: `frames()` / pycurl's discard loop").met is None
    assert _verdict(record, "TLS: `fragments()` / boto3 `read(64K)`, not parsed").met is True
    columns = _verdict(record, "200-byte frames in memory: columns")
    assert columns.met is True and columns.limit == "C's push-and-copy loop: 20.0 ns; ours 1.75 × C"
    assert _verdict(record, "200-byte frames in memory: `Frame` iterated").met is False
    iterated = _verdict(record, "200-byte frames in memory: `Frame` iterated")
    assert iterated.limit.endswith("2.50 × C; that in CPython with nothing parsed: 7.0 ns")
    assert _verdict(record, "200-byte frames in memory: libwebm / `Frame` iterated").reached == "6.0 × (6.0)"
    decoded = _verdict(record, "HTTP chunks decoded, hardened: 1080p pieces")
    assert (decoded.reached, decoded.met) == ("16 GB/s, 3.75 × C's time", False)
    assert _verdict(record, "cost against size").reached == "1 of 1"
    assert _verdict(record, "memory over 10 GB, frames(), tcp").reached == "+ 2.0 MiB; last fifth +0.0"
    assert _verdict(record, "1,000 streams of 2 Mbit/s over TCP").met is False


# -- making one


def test_a_step_that_fails_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    steps = [
        Step("bad", "micro --rounds 0", 1),
        Step("good", "--only read --workload audio --transport tcp --rounds 2 --bytes 1MB", 1),
    ]
    path = tmp_path / "record.json"
    made = runner.make(steps, path, said.append)
    assert "at least 1" in str(made.steps["bad"].failed) and made.steps["bad"].result is None
    assert made.steps["good"].failed is None
    assert len(Figures(made).cpu("good", "audio", "tcp", "read") or []) == 2
    assert json.loads(path.read_text())["steps"].keys() == {"bad", "good"}
    assert any("FAILED" in line for line in said)


def test_a_stopped_run_keeps_what_it_has_and_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    old = tmp_path / "record.json"
    record.write(old)
    before = old.read_text()
    done = iter([record.steps["curves"]])

    def stop_at_the_second(_step: Step) -> Done:
        try:
            return next(done)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(runner, "run", stop_at_the_second)
    options = command_options("--out", str(tmp_path))
    with pytest.raises(SystemExit, match="stopped"):
        command.run(options)
    assert old.read_text() == before
    assert list(Record.read(tmp_path / "record.partial.json").steps) == [FULL[0].name]


def command_options(*arguments: str) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args(arguments)


def test_quick_makes_the_same_steps() -> None:
    assert [step.name for step in QUICK] == [step.name for step in FULL]
    assert sum(step.minutes for step in FULL) <= 40


def test_a_record_survives_the_file(tmp_path: Path, record: Record) -> None:
    path = tmp_path / "record.json"
    record.write(path)
    assert Record.read(path) == record
    assert max(map(len, path.read_text().splitlines())) < 300


# -- what is made of it


def test_each_block_is_written_from_the_record(record: Record) -> None:
    figures = Figures(record)
    page = "\n".join(f"<!-- record: {name} -->\nold\n<!-- end -->" for name in [*BLOCKS, "summary"])
    once = filled(page, figures)
    assert "old" not in once and filled(once, figures) == once
    assert "it broke" in once and "Not measured in this run: `start` failed." in once
    assert "`go-sdk-v1`: no Go" in once
    with pytest.raises(KeyError):
        filled("<!-- record: nonsense -->\n<!-- end -->", figures)


def test_a_quick_record_says_so(record: Record) -> None:
    assert "quick" not in BLOCKS["about"](Figures(record))
    record.about["command"] += " --quick"
    assert "A quick run" in BLOCKS["about"](Figures(record)) and "A quick run" in summary(Figures(record))


def test_a_record_without_steps_says_so() -> None:
    figures = Figures(Record(dict(ABOUT), {}))
    assert all(verdict.met is None for verdict in verdicts(figures))
    assert all(isinstance(block(figures), str) for block in BLOCKS.values())


def test_each_picture_is_painted(tmp_path: Path, record: Record) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib (pip install 'kvsfast[bench]')")
    stale = tmp_path / "plots" / "fleet.png"
    written = render(record, tmp_path)
    names = [path.name for path in written]
    assert names[:2] == ["benchmarks-README.md", "README.md"]
    assert names[2:] == [
        "cpu-1080p-tls.png",
        "cpu-1080p-tcp.png",
        "per-frame.png",
        "latency.png",
        "curves.png",
        "memory.png",
        "fleet.png",
    ]
    sizes = [path.stat().st_size for path in written[2:]]
    assert all(5_000 < size < 150_000 for size in sizes), sizes
    assert stale.exists()
    render(Record(dict(ABOUT), {}), tmp_path)
    assert not stale.exists()

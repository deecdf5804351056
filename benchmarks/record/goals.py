"""What the project wants to reach, held against a record. Where a goal is missed, what a C program that does
only that takes in the same run is the limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from benchmarks.curves import Fit
from benchmarks.record.figures import Figures, Ratio

__all__ = ["FLEETS", "KEEPS_UP", "Verdict", "are_met", "verdicts"]

OVER = {"tls": "TLS", "tcp": "TCP"}
MIB = 1 << 20
FIT = [field.name for field in fields(Fit)]
C_LOOP = "C: push parser"
#: What CPython takes for the same loop over objects that are nothing.
CPYTHON = {
    "frames(): iterated": "CPython: an object a frame",
    "frames(): one attribute read": "CPython: the same, one attribute",
}
#: Of a stream's rate: short by what is under way, a tenth of a second and one frame.
KEEPS_UP = 0.97
#: Of many streams of 2 Mbit/s: transport, and the share of a core that they may take.
FLEETS = {1000: ("TCP", 0.20), 400: ("TLS", 0.25)}


@dataclass(frozen=True)
class Verdict:
    """A row. ``met``: None where the record lacks what it needs. ``limit``: what is the least, and how far
    that is."""

    what: str
    goal: str
    reached: str
    met: bool | None
    limit: str = ""


def verdicts(figures: Figures) -> list[Verdict]:
    return [
        *_races(figures),
        *_frames_in_memory(figures),
        *_decoding(figures),
        *_curves(figures),
        *_latency(figures),
        *_memory(figures),
        *_fleets(figures),
        *_start(figures),
    ]


def are_met(figures: Figures, begin: str) -> bool:
    """Whether all are whose ``what`` begins so."""
    return all(verdict.met for verdict in verdicts(figures) if verdict.what.startswith(begin))


def _missing(what: str, goal: str) -> Verdict:
    return Verdict(what, goal, "not measured", None)


# -- whole processes: CPU against CPU


def _races(figures: Figures) -> Iterator[Verdict]:
    for transport, most in (("tls", 1.10), ("tcp", 1.25)):
        for mine, floor in (("frames", "bare"), ("fragments", "bare-fragments")):
            yield _race(figures, mine, floor, transport, most=most, title="the bare loop")
    for mine in ("frames", "fragments"):
        yield _race(figures, mine, "pycurl", "tls", most=1.0, title="pycurl's discard loop")
    for transport, most in (("tls", 0.5), ("tcp", 0.2)):
        for mine in ("frames", "fragments"):
            yield _race(figures, mine, "boto3", transport, most=most, title="boto3 `read(64K)`, not parsed")
    for other, title in (
        ("go-sdk-v1", "Go SDK v1, not parsed"),
        ("go-sdk-v2", "Go SDK v2, not parsed"),
        ("rust-sdk", "Rust SDK, not parsed"),
    ):
        for transport in OVER:
            yield _race(figures, "frames", other, transport, most=1.0, title=title, strictly=True)


def _race(
    figures: Figures,
    mine: str,
    other: str,
    transport: str,
    *,
    most: float,
    title: str,
    strictly: bool = False,
) -> Verdict:
    what = f"{OVER[transport]}: `{mine}()` / {title}"
    goal = f"{'<' if strictly else '≤'} {most:.2f}"
    reached = figures.race(mine, other, transport)
    if reached is None:
        return _missing(what, goal)
    met = reached.median < most or (not strictly and reached.median == most)
    return Verdict(what, goal, _said(reached), met, _receiving(figures, mine, other, transport))


def _receiving(figures: Figures, mine: str, other: str, transport: str) -> str:
    """The C program that only receives, against the same, and we against it."""
    limit, ours = figures.race("c-receive", other, transport), figures.race(mine, "c-receive", transport)
    return f"C that only receives: {limit.median:.2f}; ours {ours.median:.2f} × C" if limit and ours else ""


def _said(ratio: Ratio) -> str:
    return f"{ratio.median:.2f} ({ratio.least:.2f})"


# -- frames of 200 bytes in memory


def _frames_in_memory(figures: Figures) -> Iterator[Verdict]:
    c_loop = figures.timing("tiny", C_LOOP)
    for title, ours, most in (
        ("columns", "fragments(): columns", 20.0),
        ("`Frame` iterated", "frames(): iterated", 30.0),
        ("one attribute of each `Frame` read", "frames(): one attribute read", 60.0),
    ):
        what, goal = f"200-byte frames in memory: {title}", f"≤ {most:.0f} ns"
        timing = figures.timing("tiny", ours)
        if timing is None:
            yield _missing(what, goal)
            continue
        met = timing["median"] <= most
        if title == "columns" and c_loop is not None:
            goal += ", or ≤ 2 × C's push-and-copy loop"
            met = met or timing["median"] <= 2 * c_loop["median"]
        reached = f"{timing['median']:.1f} ns ({timing['best']:.1f})"
        if (copied := figures.timing("tiny", f"{ours}, copied in")) is not None:
            reached += f"; {copied['median']:.1f} where windows are copied in, as received"
        yield Verdict(what, goal, reached, met, _limit_in_memory(figures, ours))
    for title, rival, least in (
        ("PyAV", "PyAV", 80),
        ("AWS's Java parser", "Java", 30),
        ("libwebm", "libwebm", 5),
    ):
        what, goal = f"200-byte frames in memory: {title} / `Frame` iterated", f"≥ {least} ×"
        times = figures.timed("tiny", rival, "frames(): iterated", "micro-rivals")
        if times is None:
            yield _missing(what, goal)
        else:
            limit = figures.timed("tiny", rival, C_LOOP, "micro-rivals")
            said = f"C's push-and-copy loop: {limit.median:.1f} ×" if limit else ""
            yield Verdict(
                what, goal, f"{times.median:.1f} × ({times.least:.1f})", times.median >= least, said
            )


def _limit_in_memory(figures: Figures, ours: str) -> str:
    limit, against = figures.timing("tiny", C_LOOP), figures.timed("tiny", ours, C_LOOP)
    if limit is None or against is None:
        return ""
    said = f"C's push-and-copy loop: {limit['median']:.1f} ns; ours {against.median:.2f} × C"
    if ours in CPYTHON and (floor := figures.timing("tiny", CPYTHON[ours])) is not None:
        said += f"; that in CPython with nothing parsed: {floor['median']:.1f} ns"
    return said


# -- HTTP decoding


def _decoding(figures: Figures) -> Iterator[Verdict]:
    for body, title, least in (("1080p", "1080p pieces", 15.0), ("audio", "13 + 160-byte pieces", 3.0)):
        what, goal = f"HTTP chunks decoded, hardened: {title}", f"≥ {least:.0f} GB/s, ≤ 3 × C's time"
        rate = figures.timing(f"http-{body}", "kvsfast")
        if rate is None:
            yield _missing(what, goal)
            continue
        times = figures.timed(f"http-{body}", "C: plain loop", "kvsfast")  # rates: the inverse is the time
        against = f", {times.median:.2f} × C's time" if times else ""
        met = rate["median"] >= least and (times is None or times.median <= 3)
        c_loop = figures.timing(f"http-{body}", "C: plain loop")
        limit = f"C's plain loop, nothing verified: {c_loop['median']:.0f} GB/s" if c_loop else ""
        yield Verdict(what, goal, f"{rate['median']:.0f} GB/s{against}", met, limit)


# -- curves, latency, memory


def _curves(figures: Figures) -> Iterator[Verdict]:
    what, goal = "cost against size", "a straight line each"
    drawn = figures.result("curves").get("curves", ())
    if not drawn:
        yield _missing(what, goal)
        return
    straight = [Fit(*(curve[name] for name in FIT)).is_straight for curve in drawn]
    crooked = [
        str(curve["title"]) for curve, is_straight in zip(drawn, straight, strict=True) if not is_straight
    ]
    reached = f"{sum(straight)} of {len(straight)}" + (f"; not: {', '.join(crooked)}" if crooked else "")
    yield Verdict(what, goal, reached, not crooked)


def _latency(figures: Figures) -> Iterator[Verdict]:
    for transport, title in OVER.items():
        what, goal = f"{title}: a frame in hand after its last byte was sent", "< 0.3 ms"
        delay = figures.delay("kvsfast frames()", transport)
        if delay is None:
            yield _missing(what, goal)
        else:
            reached = f"{delay['median_ms']:.2f} ms (95 %: {delay['p95_ms']:.2f})"
            yield Verdict(what, goal, reached, delay["median_ms"] < 0.3)


def _memory(figures: Figures) -> Iterator[Verdict]:
    sessions = figures.sessions()
    if not sessions:
        yield _missing("memory of one long session", "flat")
    for session in sessions:
        read = session["points"][-1]["read_bytes"] / 1e9
        what = f"memory over {read:.0f} GB, {session['title']}"
        most = session["limit_bytes"] - session["base_bytes"]
        peak = session["peak_bytes"] - session["base_bytes"]
        grown = _grown([point["resident_bytes"] for point in session["points"]])
        yield Verdict(
            what,
            f"flat, ≤ open stream + {most / MIB:.1f} MiB",
            f"+ {peak / MIB:.1f} MiB; last fifth {grown / MIB:+.1f}",
            peak <= most and grown <= MIB,
        )


def _grown(resident: list[int]) -> int:
    fifth = max(1, len(resident) // 5)
    return max(resident[-fifth:]) - max(resident[:fifth])


# -- many streams


def _fleets(figures: Figures) -> Iterator[Verdict]:
    for streams, (transport, most) in FLEETS.items():
        what = f"{streams:,} streams of 2 Mbit/s over {transport}"
        goal = f"≤ {100 * most:.0f} % of a core, ≤ 100 MiB, none behind"
        ours = figures.fleet(streams, "kvsfast")
        if ours is None:
            yield _missing(what, goal)
            continue
        peak = ours["peak_bytes"] / MIB
        reached = f"{100 * ours['share']:.0f} %, {peak:.0f} MiB, slowest {100 * ours['slowest']:.1f} %"
        met = ours["share"] <= most and peak <= 100 and ours["slowest"] >= KEEPS_UP
        yield Verdict(what, goal, reached, met, _fleet_limit(figures, streams))
    what, goal = "16 streams of 200 Mbit/s", "400 MB/s, none starved"
    ours = figures.fleet(16, "kvsfast")
    if ours is None:
        yield _missing(what, goal)
        return
    rate, slowest = ours["megabytes_per_second"], ours["slowest"]
    met = rate >= 400 * KEEPS_UP and slowest >= KEEPS_UP
    reached = f"{rate:.0f} MB/s, slowest {100 * slowest:.1f} %, {100 * ours['share']:.0f} % of a core"
    yield Verdict(what, goal, reached, met, _fleet_limit(figures, 16))


def _fleet_limit(figures: Figures, streams: int) -> str:
    limit, ours = figures.fleet(streams, "C"), figures.fleet(streams, "kvsfast")
    if limit is None or ours is None:
        return ""
    return f"{limit['reader']}: {100 * limit['share']:.0f} %; ours {ours['share'] / limit['share']:.1f} × C"


# -- the start


def _start(figures: Figures) -> Iterator[Verdict]:
    result = figures.result("start")
    imports = {one["module"]: one for one in result.get("imports", ())}
    what, goal = "`import kvsfast` / `import botocore.exceptions`", "≤ 2.00"
    if {"kvsfast", "botocore.exceptions"} <= imports.keys():
        ours, floor = imports["kvsfast"], imports["botocore.exceptions"]
        reached = Ratio(ours["median_ms"] / floor["median_ms"], ours["best_ms"] / floor["best_ms"], 1)
        yield Verdict(what, goal, _said(reached), reached.median <= 2)
    else:
        yield _missing(what, goal)
    for call in result.get("calls", ()):
        beyond = call["round_trips"] - call["handshake"]
        yield Verdict(
            f"{OVER[call['transport']]}: the first `get_media` on a known endpoint",
            "no control-plane call, 1 round trip",
            f"{call['control_calls']} calls, {beyond} round trip{'' if beyond == 1 else 's'}",
            call["control_calls"] == 0 and beyond == 1,
        )

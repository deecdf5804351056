"""What the main README says of the cost."""

from __future__ import annotations

from benchmarks.record.figures import Figures
from benchmarks.record.tables import quick_note

__all__ = ["summary"]

_TEXT = """\
On recorded piece sizes of a 1080p stream over TLS, with every frame parsed and touched, `frames()` takes {frames} times the
CPU of a loop that only calls `recv_into`, and `fragments()` {fragments} times. boto3's `read(65536)`, which parses nothing, takes
{boto3} times the CPU of `frames()` ({plain} times without TLS), and the ways in which Python programs parse KVS media today
take {pyav} (PyAV) to {ebmlite} times (ebmlite, as AWS's sample uses it). A frame is in your hands {tls} after its last byte was
sent ({tcp} without TLS).

{quick}Measured on {date} on {machine}, commit {commit}: medians over rounds in which all contenders take turns."""  # noqa: E501


def summary(figures: Figures) -> str:
    delays = {one: figures.delay("kvsfast frames()", one) for one in ("tls", "tcp")}
    about = figures.record.about
    return _TEXT.format(
        quick=quick_note(figures),
        frames=_times(figures, "frames", "bare"),
        fragments=_times(figures, "fragments", "bare-fragments"),
        plain=_times(figures, "boto3", "frames", "tcp"),
        **{rival: _times(figures, rival, "frames") for rival in ("boto3", "pyav", "ebmlite")},
        **{one: f"{delay['median_ms']:.2f} ms" if delay else "–" for one, delay in delays.items()},
        date=about["date"][:10],
        machine=about["machine"],
        commit=about["commit"],
    )


def _times(figures: Figures, mine: str, other: str, transport: str = "tls") -> str:
    found = figures.race(mine, other, transport)
    if found is None:
        return "–"
    digits = 2 if found.median < 2 else 1 if found.median < 20 else 0
    return f"{found.median:.{digits}f}"

"""CPU per GB of all who took part in the race: who gives frames beside who only receives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drawing.style import FAINT, FLOOR, Mark, dots, head, slide
from benchmarks.record.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["paint"]

TRANSPORTS = {"tcp": "plain TCP", "tls": "TLS 1.3"}
SHORT = {
    "frames": "kvsfast frames()",
    "fragments": "kvsfast fragments()",
    "columns": "kvsfast columns, numpy",
    "read": "kvsfast read()",
    "boto3": "boto3 read(64K)",
    "boto3-chunks": "boto3 iter_chunks(64K)",
    "boto3-iterate": "boto3 iterated",
    "aiobotocore": "aiobotocore read(64K)",
    "httpx": "httpx iter_raw(64K)",
    "pycurl": "pycurl",
    "pyav": "boto3 + PyAV",
    "ebmlite": "boto3 + ebmlite",
    "kvsparser": "boto3 + kvsparser",
    "c-receive": "C, receiving only",
    "c-curl": "C, libcurl",
    "go-sdk-v1": "Go SDK v1",
    "go-sdk-v2": "Go SDK v2",
    "rust-sdk": "Rust SDK",
    "java-sdk": "Java SDK",
    "go-ebml": "Go SDK + ebml-go",
    "rust-webm": "Rust SDK + webm-iterable",
    "java-parser": "Java, AWS's parser",
    "c-webm": "C++, libcurl + libwebm",
    "c-avformat": "C, libavformat",
}


def paint(figures: Figures, transport: str) -> Figure | None:
    standings = figures.standings("race-1080p", "1080p", transport)
    if not {"bare", "frames"} <= standings.keys():
        return None
    floor = standings["bare"]["cpu_median"]
    panels: dict[bool, list[Mark]] = {True: [], False: []}
    for name, one in standings.items():
        if not name.startswith("bare"):
            value, to_bare = one["cpu_median"], one["to_bare"]
            mark = Mark(
                SHORT.get(name, str(one["title"])), value, one["kind"], f"{value:.2f}  {_times(to_bare)}"
            )
            panels[one["reads"] == "frames"].append(mark)
    figure = slide()
    titles = {True: "gives every frame", False: "only receives, parses nothing"}
    values = [mark.value for marks in panels.values() for mark in marks]
    for axes, parses in zip(figure.subplots(1, 2, sharex=True), (True, False), strict=True):
        dots(axes, panels[parses], floor)
        axes.set_title(titles[parses], loc="left", fontweight="bold", pad=22)
        axes.annotate(
            f"bare recv_into loop {floor:.2f}",
            (floor, 1),
            (0, 5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center" if min(values) < 0.8 * floor else "left",
            color=FLOOR,
            fontsize=11,
        )
        axes.set_xlim(min(*values, floor) / 1.15, max(values) * 9)
        if max(values) < 10 * floor:
            axes.set_xticks([0.5, 1, 2, 5, 10, 20])
        axes.set_xlabel("CPU seconds per GB, logarithmic", color=FAINT)
    times = standings["frames"]["to_bare"]
    head(
        figure,
        "Every frame parsed, for "
        + (f"{times:.2f} times" if times >= 1.005 else "no more than")
        + " the CPU of a bare socket loop",
        f"GetMedia over {TRANSPORTS[transport]}, 1080p H.264 in the piece sizes of the wire; "
        "medians of rounds; × against the bare loop in the same round",
    )
    return figure


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"×{ratio:.2f}" if ratio < 2 else f"×{ratio:.1f}" if ratio < 20 else f"×{ratio:,.0f}"

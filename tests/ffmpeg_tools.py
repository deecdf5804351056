"""ffmpeg and ffprobe as makers of real media and as a second reader. Tests skip visibly where they are not
installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None,
    reason="ffmpeg and ffprobe are not installed",
)


class Packet(NamedTuple):
    """A packet as ffprobe shows it. ``pts_ms``: None where ffprobe knows none."""

    stream: int
    pts_ms: float | None
    size: int
    is_keyframe: bool


def run(*command: str) -> bytes:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr.decode(errors='replace')}"
    return done.stdout


def has_encoder(name: str) -> bool:
    """Whether this ffmpeg has an encoder of this name."""
    return f" {name} " in run("ffmpeg", "-hide_banner", "-encoders").decode()


def make_media(path: Path, *arguments: str) -> Path:
    """Media at ``path`` from ffmpeg's arguments between the global options and the output."""
    run("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *arguments, str(path))
    return path


def packets(path: Path) -> list[Packet]:
    """Every packet of a file, in its order."""
    entries = "packet=stream_index,pts_time,size,flags"
    shown = json.loads(run("ffprobe", "-v", "quiet", "-show_entries", entries, "-of", "json", str(path)))
    return [
        Packet(
            stream=packet["stream_index"],
            pts_ms=float(packet["pts_time"]) * 1000 if "pts_time" in packet else None,
            size=int(packet["size"]),
            is_keyframe="K" in packet["flags"],
        )
        for packet in shown["packets"]
    ]


def raw_stream(path: Path, stream: int = 0) -> bytes:
    """The payloads of one stream, one after the other, as ffmpeg reads them."""
    return run(
        "ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-c", "copy", "-f", "data", "-"
    )

"""What the runner tells a contender, and what it wants to know: JSON on stdin, JSON on stdout.

Any program in any language that keeps to this can be a contender.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Self

__all__ = ["Job", "Outcome", "Server", "Sums"]


@dataclass(frozen=True)
class Sums:
    """Over every frame: media time in ns, payload bytes, and the values of first and last payload byte."""

    frames: int
    bytes: int
    time_ns: int
    edges: int

    def times(self, laps: int) -> Sums:
        """Of media that is repeated."""
        return Sums(*(laps * value for value in dataclasses.astuple(self)))


@dataclass(frozen=True)
class Server:
    """Where to ask for the media. ``ca``: PEM file to verify the server by, None over plain TCP."""

    endpoint_url: str
    media_endpoint_url: str
    region: str
    access_key: str
    secret_key: str
    ca: str | None
    stream: str


@dataclass(frozen=True)
class Job:
    """Read the stream from EARLIEST on. It has no end, so how far to read is said in four ways, which mean
    the same place: ``fragments``, ``sums.frames``, ``media_bytes`` (without HTTP framing), ``wire_bytes``
    (with it).

    ``largest_fragment`` in bytes, for those who hold some. ``sums``: what the frames must come to.
    """

    server: Server
    fragments: int
    media_bytes: int
    wire_bytes: int
    largest_fragment: int
    sums: Sums

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        return cls(**{**fields, "server": Server(**fields["server"]), "sums": Sums(**fields["sums"])})


@dataclass(frozen=True)
class Outcome:
    """What one process measured of itself.

    ``cpu_s`` (user + sys) and ``wall_s`` of the reading alone: imports, opening and closing excluded.
    ``first_s``: from before the request to the first frame, or the first bytes, in hand. ``base_bytes``:
    resident before the reading; ``peak_bytes``: at most. ``read_bytes``: media bytes (for a bare loop: wire
    bytes) read. ``sums`` of those that parse."""

    cpu_s: float
    wall_s: float
    first_s: float
    base_bytes: int
    peak_bytes: int
    read_bytes: int
    sums: Sums | None = None

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        return cls(**{**fields, "sums": fields["sums"] and Sums(**fields["sums"])})

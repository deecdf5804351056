"""How the responses of one stream go on and end: what can be set for each stream, also while it is read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from kvsfast.emulator.faults import ErrorDocument, HttpError, NoAnswer
from kvsfast.emulator.plans import Faults
from kvsfast.errors import UsageError

__all__ = ["Missing", "StreamOptions"]

#: What a start after a fragment gives that is not there: error 4000 in the media, the next fragment that is
#: there, or an HTTP error.
Missing = Literal["error-document", "next", "http-error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Options of one stream; times in seconds of the service's clock. None: no such limit.

    ``session_seconds``: a response ends after this time, at ``session_ends_at`` the end of a "fragment" or of
    a "frame". ``idle_seconds``: how long it stays open when there is nothing to send. ``bandwidth`` (bytes
    per second) and ``fragments_per_second`` slow each response down; the service's own are 25e6 and 5.
    ``limits``: keep the service's 5 calls a second and 3 connections. ``whole_fragments``: a live fragment is
    sent when it is complete, not frame by frame.

    ``retention_seconds``: how far back the stream reaches. ``missing``: what a start after an expired or
    unknown fragment gives, and a response that is overtaken by the retention. ``now``: whether NOW is the
    "newest" fragment there is (of a live stream the one being ingested), or the "next" one to come.

    ``refusal``: what every request for the stream gets from now on, e.g. HttpError("NotAuthorizedException").
    ``error_document``: what is written into every response, those that are open included, at the next border
    of fragments, e.g. ErrorDocument(4501) for a disabled KMS key. ``faults``: those of this stream alone,
    after the ones that were planned for the service.
    """

    session_seconds: float = 2700.0
    session_ends_at: Literal["fragment", "frame"] = "fragment"
    idle_seconds: float = 0.0
    bandwidth: float | None = None
    fragments_per_second: float | None = None
    limits: bool = True
    whole_fragments: bool = False
    retention_seconds: float | None = None
    missing: Missing = "error-document"
    now: Literal["newest", "next"] = "newest"
    refusal: HttpError | NoAnswer | None = None
    error_document: ErrorDocument | None = None
    faults: Faults | None = None

    def __post_init__(self) -> None:
        for name in ("bandwidth", "fragments_per_second"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} is {value!r}, expected more than 0, or None for no limit")
        for name in ("session_seconds", "idle_seconds", "retention_seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"{name} is {value!r}, expected at least 0")
        choices = {
            "session_ends_at": ("fragment", "frame"),
            "missing": get_args(Missing),
            "now": ("newest", "next"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")


#: What ``configure`` takes.
NAMES = frozenset(field.name for field in fields(StreamOptions))

"""Arguments that several subcommands read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from kvsfast.errors import UsageError
from kvsfast.model import StartSelector

__all__ = ["count", "seconds", "start_selector", "time"]

_Value = TypeVar("_Value")

_STARTS: dict[str, Callable[[str], StartSelector]] = {
    "after": StartSelector.after_fragment,
    "server": lambda text: StartSelector.at_server_time(time(text)),
    "producer": lambda text: StartSelector.at_producer_time(time(text)),
    "token": StartSelector.from_token,
}


def start_selector(text: str) -> StartSelector:
    """NOW, EARLIEST, after:NUMBER, server:TIME, producer:TIME or token:TOKEN."""
    kind, colon, value = text.partition(":")
    try:
        if not colon and kind.upper() in ("NOW", "EARLIEST"):
            return StartSelector.now() if kind.upper() == "NOW" else StartSelector.earliest()
        if colon and kind.lower() in _STARTS:
            return _STARTS[kind.lower()](value)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    raise argparse.ArgumentTypeError(
        f"{text!r} is none of NOW, EARLIEST, after:NUMBER, server:TIME, producer:TIME, token:TOKEN"
    )


def time(text: str) -> datetime:
    """Epoch seconds, or ISO 8601 with a zone."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write epoch seconds, or ISO 8601 with a zone as in 2024-05-01T12:00:00Z"
        ) from None
    if when.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; say which, as in 2024-05-01T12:00:00Z")
    return when


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def seconds(text: str) -> float:
    """Seconds, more than 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "seconds, more than 0")


def _number(
    text: str, kind: Callable[[str], _Value], is_good: Callable[[_Value], bool], expected: str
) -> _Value:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not is_good(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value

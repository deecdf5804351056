"""``kvsfast consume``: read a stream for ever, over reconnects and restarts, and keep what comes."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsfast.cli.arguments import count, seconds, start_selector, time
from kvsfast.cli.connecting import add_client_arguments, client_of
from kvsfast.cli.output import Output, console, note, printable
from kvsfast.cli.progress import live_streams, totals
from kvsfast.cli.recording import Keep, check_output, one_file, one_file_each, rotating_files
from kvsfast.cli.watch import HEADING, Arrival
from kvsfast.model import StartSelector

if TYPE_CHECKING:
    from kvsfast import Consumer, Fragment, SessionEvent

NAME = "consume"
SUMMARY = "read a stream for ever: nothing lost, nothing twice, over reconnects and restarts"
DESCRIPTION = """\
Read a stream for ever. Where a response ends, for whatever reason, the next one
begins behind the last whole fragment; with --checkpoint so does the next run of
this command. Region, credentials and endpoints are found as boto3 finds them.
"""
EPILOG = """\
START is NOW, EARLIEST, after:FRAGMENT_NUMBER, server:TIME, producer:TIME or
token:CONTINUATION_TOKEN; a TIME is epoch seconds, or ISO 8601 with a zone.

A fragment is committed to the checkpoint when it is in its files. Files hold
whole fragments only, also after Ctrl-C.

examples:
  kvsfast consume front-door                                        watch
  kvsfast consume front-door --checkpoint door.db -o door.mkv       go on where it was
  kvsfast consume front-door --start EARLIEST --split fragments/    files that play
  kvsfast consume front-door --rotate 300 --into recordings/        five minutes each
  kvsfast consume front-door --until 2026-01-01T12:00:00Z --json    a batch job
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", metavar="STREAM", help="its name or ARN")
    parser.add_argument(
        "--start",
        type=start_selector,
        default=StartSelector.now(),
        metavar="START",
        help="where to begin (default: NOW), unless there is a checkpoint",
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="an SQLite file that keeps how far it is")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object per fragment and event, and one of the summary"
    )
    sinks = parser.add_argument_group("what to keep")
    sinks.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the fragments here, with --checkpoint behind what is there; - for standard output",
    )
    sinks.add_argument(
        "--split", type=Path, metavar="DIR", help="write each fragment to a file of its own that plays"
    )
    sinks.add_argument(
        "--rotate", type=seconds, metavar="S", help="begin another file each S seconds of media"
    )
    sinks.add_argument("--into", type=Path, metavar="DIR", help="where --rotate writes (default: .)")
    limits = parser.add_argument_group("when to stop (else never)")
    limits.add_argument(
        "--until", type=time, metavar="TIME", help="before the first fragment from this time on"
    )
    limits.add_argument("--fragments", type=count, metavar="N", help="after N fragments")
    limits.add_argument("--frames", type=count, metavar="N", help="after the fragment with the N-th frame")
    limits.add_argument("--bytes", type=count, metavar="N", help="after the fragment with the N-th byte")
    limits.add_argument("--seconds", type=seconds, metavar="S", help="after S seconds")
    wire = add_client_arguments(parser)
    wire.add_argument("--idle-after", type=seconds, metavar="S", help="say so after S seconds without media")
    wire.add_argument(
        "--give-up-after", type=count, metavar="N", help="when N calls in a row failed (default: never)"
    )
    trouble = parser.add_argument_group("what cannot be had")
    trouble.add_argument(
        "--gaps", choices=("report", "raise"), default="report", help="media that the service no longer has"
    )
    trouble.add_argument(
        "--poison", choices=("raise", "skip"), default="raise", help="a fragment that is broken each time"
    )


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, as_json=arguments.json)
    with ExitStack() as stack:
        client = client_of(arguments)
        show = _Show(arguments)
        consumer = stack.enter_context(
            client.consume(
                arguments.stream,
                arguments.start,
                checkpoint=arguments.checkpoint,
                on_event=show.event,
                **_options(arguments),
            )
        )
        stack.callback(show.summary, consumer)
        keeps = _keeps(arguments, stack)
        show.begin(consumer, stack)
        for fragment in consumer:
            for keep in keeps:
                keep(fragment)
            if arguments.checkpoint is not None:
                consumer.commit(fragment)
            show.fragment(consumer, fragment)
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    from kvsfast import StandardResume, Until

    options: dict[str, Any] = {
        "until": Until(
            server_time=arguments.until,
            fragments=arguments.fragments,
            frames=arguments.frames,
            size=arguments.bytes,
            seconds=arguments.seconds,
        ),
        "resume": StandardResume(max_failures=arguments.give_up_after),
        "gaps": arguments.gaps,
        "poison": arguments.poison,
        "idle_after": arguments.idle_after,
    }
    return {name: value for name, value in options.items() if value is not None}


def _keeps(arguments: argparse.Namespace, stack: ExitStack) -> list[Keep]:
    keeps: list[Keep] = []
    if arguments.split is not None:
        keeps.append(one_file_each(arguments.split))
    if arguments.rotate is not None:
        keeps.append(stack.enter_context(rotating_files(arguments.into or Path(), arguments.rotate)))
    if arguments.output is not None:
        is_continued = arguments.checkpoint is not None
        keeps.append(stack.enter_context(one_file(arguments.output, append=is_continued)))
    return keeps


class _Show:
    """What is seen of it: a live table on a terminal, else lines, or JSON. Events are messages, or JSON."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._media_on_stdout = arguments.output == "-"
        self._json = Output(as_json=True) if arguments.json else None
        self._lines: Output | None = None
        self._is_live = False

    def begin(self, consumer: Consumer, stack: ExitStack) -> None:
        terminal = None if self._json else console(sys.stderr if self._media_on_stdout else sys.stdout)
        if terminal is not None:
            self._is_live = True
            stack.enter_context(live_streams(terminal, lambda: [consumer.stats]))
        elif self._json is None and not self._media_on_stdout:
            self._lines = Output()
            self._lines.line(HEADING)

    def fragment(self, consumer: Consumer, fragment: Fragment) -> None:
        if self._json is None and self._lines is None:
            return
        arrival = Arrival(
            fragment.number,
            fragment.producer_timestamp_ms,
            fragment.millis_behind_now,
            fragment.frame_count,
            fragment.size,
            fragment.is_complete,
        )
        if self._json is not None:
            self._json.record(event="fragment", stream=consumer.stream, **arrival._asdict())
        elif self._lines is not None:
            self._lines.line(str(arrival))

    def event(self, event: SessionEvent) -> None:
        from kvsfast import Idle, Reconnected

        name = type(event).__name__
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        if self._json is not None:
            self._json.record(event=_snake(name), **{key: _plain(value) for key, value in fields.items()})
        elif not (self._is_live and isinstance(event, Idle | Reconnected)):  # the table shows these
            told = ", ".join(f"{key} {_plain(value)}" for key, value in fields.items() if value is not None)
            note(printable(f"{_snake(name).replace('_', ' ')}: {told}"))

    def summary(self, consumer: Consumer) -> None:
        """Said however it ended."""
        stats = consumer.stats
        if self._json is not None:
            self._json.record(
                event="summary", end=str(consumer.end or "interrupted"), **dataclasses.asdict(stats)
            )
            return
        note(totals([stats]))
        if consumer.committed is not None:
            note(f"committed up to fragment {consumer.committed.number}")
        elif consumer.position is not None:
            place = consumer.position
            start = f"token:{printable(place.token)}" if place.token else f"after:{place.number}"
            note(f"go on with --start {start}")


def _snake(name: str) -> str:
    """``StreamReset`` -> ``stream_reset``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _plain(value: Any) -> Any:
    """A value of an event as text or number."""
    if isinstance(value, StartSelector):
        place = value.token or value.fragment_number or value.timestamp
        return f"{value.type}" if place is None else f"{value.type} {place}"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, int | str | type(None)) else str(value)

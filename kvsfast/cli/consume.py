"""``kvsfast consume``: read streams for ever, over reconnects and restarts, and keep what comes."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsfast import consume_many
from kvsfast.cli.advice import advice
from kvsfast.cli.arguments import count, seconds, start_selector, time
from kvsfast.cli.connecting import add_client_arguments, client_of
from kvsfast.cli.output import Output, console, note, printable
from kvsfast.cli.progress import live_streams, totals
from kvsfast.cli.recording import Keep, check_output, one_file, one_file_each, rotating_files
from kvsfast.cli.watch import HEADING, Arrival
from kvsfast.errors import KvsFastError, UsageError
from kvsfast.model import StartSelector

if TYPE_CHECKING:
    from kvsfast import Consumer, Fragment, SessionEvent, SqliteCheckpoints

NAME = "consume"
SUMMARY = "read streams for ever: nothing lost, nothing twice, over reconnects and restarts"
DESCRIPTION = """\
Read streams for ever, all in one thread. Where a response ends, for whatever
reason, the next one begins behind the last whole fragment; with --checkpoint so
does the next run of this command. A stream that fails does not stop the others.
Region, credentials and endpoints are found as boto3 finds them.
"""
EPILOG = """\
START is NOW, EARLIEST, after:FRAGMENT_NUMBER, server:TIME, producer:TIME or
token:CONTINUATION_TOKEN; a TIME is epoch seconds, or ISO 8601 with a zone.

A fragment is committed to the checkpoint when it is in its files. Files hold
whole fragments only, also after Ctrl-C. With several streams each one has a
folder of its own below DIR, named as the stream, and limits hold for each.

examples:
  kvsfast consume front-door                                        watch
  kvsfast consume front-door --checkpoint door.db -o door.mkv       go on where it was
  kvsfast consume front-door --start EARLIEST --split fragments/    files that play
  kvsfast consume front-door --rotate 300 --into recordings/        five minutes each
  kvsfast consume front-door --until 2026-01-01T12:00:00Z --json    a batch job
  kvsfast consume front-door back-door --checkpoint doors.db --split media/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("streams", metavar="STREAM", nargs="+", help="its name or ARN")
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
        help="write the fragments here, with --checkpoint behind what is there; - for standard output; of"
        " one stream",
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
    streams = list(dict.fromkeys(arguments.streams))
    if len(streams) > 1 and arguments.output is not None:
        raise UsageError("-o takes one stream; --split and --rotate have a folder for each of several")
    failed = False
    with ExitStack() as stack:
        client = client_of(arguments)
        show = _Show(arguments)
        options = _options(arguments)
        store = None if arguments.checkpoint is None else stack.enter_context(_store(arguments.checkpoint))
        consumers = [
            client.consume(
                stream, arguments.start, checkpoint=store, on_event=partial(show.event, stream), **options
            )
            for stream in streams
        ]
        for consumer in consumers:
            stack.callback(show.summary, consumer)
        keeps = {
            consumer: _keeps(arguments, stack, consumer.stream if len(streams) > 1 else "")
            for consumer in consumers
        }
        items: Iterable[tuple[Consumer, Fragment]]
        if len(consumers) == 1:
            (only,) = consumers
            stack.enter_context(only)
            items = ((only, fragment) for fragment in only)
        else:

            def give_up(consumer: Consumer, error: KvsFastError) -> None:
                nonlocal failed
                failed = True
                show.failure(consumer, error)

            items = stack.enter_context(consume_many(consumers, on_failure=give_up))
        show.begin(consumers, stack)
        for consumer, fragment in items:
            for keep in keeps[consumer]:
                keep(fragment)
            if store is not None:
                consumer.commit(fragment)
            show.fragment(consumer, fragment)
    return 1 if failed else 0


@contextmanager
def _store(path: str) -> Iterator[SqliteCheckpoints]:
    from kvsfast import SqliteCheckpoints

    with closing(SqliteCheckpoints(path)) as store:
        yield store


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


def _keeps(arguments: argparse.Namespace, stack: ExitStack, folder: str) -> list[Keep]:
    """``folder``: below the given directories."""
    keeps: list[Keep] = []
    if arguments.split is not None:
        keeps.append(one_file_each(arguments.split / folder))
    if arguments.rotate is not None:
        directory = (arguments.into or Path()) / folder
        keeps.append(stack.enter_context(rotating_files(directory, arguments.rotate)))
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
        self._is_one = True

    def begin(self, consumers: Sequence[Consumer], stack: ExitStack) -> None:
        self._is_one = len(consumers) == 1
        terminal = None if self._json else console(sys.stderr if self._media_on_stdout else sys.stdout)
        if terminal is not None:
            self._is_live = True
            stack.enter_context(live_streams(terminal, lambda: [consumer.stats for consumer in consumers]))
        elif self._json is None and not self._media_on_stdout:
            self._lines = Output()
            self._lines.line(HEADING if self._is_one else f"{HEADING}  stream")

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
            self._lines.line(str(arrival) if self._is_one else f"{arrival}  {printable(consumer.stream)}")

    def failure(self, consumer: Consumer, error: KvsFastError) -> None:
        """A stream was given up; the others go on."""
        told = f"{type(error).__name__}: {error}"
        if self._json is not None:
            self._json.record(event="failure", stream=consumer.stream, error=told)
            return
        what_to_do = advice(error)
        note(printable(f"{consumer.stream}: {told}") + (f"; {what_to_do}" if what_to_do else ""))

    def event(self, stream: str, event: SessionEvent) -> None:
        from kvsfast import Idle, Reconnected

        name = type(event).__name__
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        if self._json is not None:
            plain = {key: _plain(value) for key, value in fields.items()}
            self._json.record(event=_snake(name), stream=stream, **plain)
        elif not (self._is_live and isinstance(event, Idle | Reconnected)):  # the table shows these
            told = ", ".join(f"{key} {_plain(value)}" for key, value in fields.items() if value is not None)
            note(printable(f"{stream}: {_snake(name).replace('_', ' ')}: {told}"))

    def summary(self, consumer: Consumer) -> None:
        """Said however it ended."""
        stats = consumer.stats
        if self._json is not None:
            self._json.record(
                event="summary", end=str(consumer.end or "interrupted"), **dataclasses.asdict(stats)
            )
            return
        note(totals([stats]) if self._is_one else f"{printable(consumer.stream)}: {totals([stats])}")
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

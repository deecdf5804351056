"""``kvsfast get-media``: read one stream by one GetMedia call, watch it arrive, keep it."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from kvsfast.cli.arguments import count, seconds, start_selector
from kvsfast.cli.connecting import add_client_arguments, client_of
from kvsfast.cli.output import Output, console, note, printable
from kvsfast.cli.recording import Keep, check_output, one_file, one_file_each
from kvsfast.cli.watch import HEADING, Arrival, Show, Tally, live_table
from kvsfast.errors import TransportTimeout
from kvsfast.model import StartSelector

if TYPE_CHECKING:
    from kvsfast import MediaStream

NAME = "get-media"
SUMMARY = "read a stream, watch its fragments arrive, write them to a file"
DESCRIPTION = """\
Read a stream by one GetMedia call: a line or a row per fragment as it arrives,
and the fragments themselves, byte for byte, into a file. Region, credentials
and endpoints are found as boto3 finds them.
"""
EPILOG = """\
START is NOW, EARLIEST, after:FRAGMENT_NUMBER, server:TIME, producer:TIME or
token:CONTINUATION_TOKEN; a TIME is epoch seconds, or ISO 8601 with a zone.

The file holds whole fragments only, also after Ctrl-C: one Matroska document
after the other, as the service sends them. Players show the first of them;
--split writes documents that play, one per file.

examples:
  kvsfast get-media front-door                                     watch
  kvsfast get-media front-door --start EARLIEST -o received.mkv    keep
  kvsfast get-media front-door --seconds 60 --split fragments/     files that play
  kvsfast get-media front-door --start token:9134... --json        go on
  kvsfast get-media front-door -o - | ffplay -                     pass on
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", metavar="STREAM", help="its name or ARN")
    parser.add_argument(
        "--start",
        type=start_selector,
        default=StartSelector.now(),
        metavar="START",
        help="where to begin (default: NOW)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the fragments here; - for standard output"
    )
    parser.add_argument(
        "--split", type=Path, metavar="DIR", help="write each fragment to a file of its own that plays"
    )
    parser.add_argument(
        "--json", action="store_true", help="a JSON object per fragment, and one of the summary"
    )
    limits = parser.add_argument_group("when to stop (else when the service ends the response)")
    limits.add_argument("--fragments", type=count, metavar="N", help="after N fragments")
    limits.add_argument("--frames", type=count, metavar="N", help="after the fragment with the N-th frame")
    limits.add_argument("--seconds", type=seconds, metavar="S", help="after S seconds")
    wire = add_client_arguments(parser)
    wire.add_argument(
        "--strict", action="store_true", help="a response that ends inside an element is an error"
    )


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, as_json=arguments.json)
    client = client_of(arguments, strict=arguments.strict or None)
    deadline = arguments.seconds or math.inf
    with (
        client.get_media(arguments.stream, arguments.start, deadline=deadline) as media,
        ExitStack() as stack,
    ):
        tally = Tally()
        stack.callback(_sum_up, tally, arguments)
        keeps: list[Keep] = []
        if arguments.split is not None:
            keeps.append(one_file_each(arguments.split))
        if arguments.output is not None:
            keeps.append(stack.enter_context(one_file(arguments.output)))
        show = stack.enter_context(_watching(arguments, tally))
        try:
            _read(media, tally, keeps, show, arguments)
        except TransportTimeout as error:
            is_deadline = not error.retryable
            if not is_deadline:
                error.add_note(
                    "is a producer sending? --start EARLIEST reads what is stored, "
                    "--idle-timeout waits longer"
                )
                raise
    return 0


def _read(
    media: MediaStream, tally: Tally, keeps: list[Keep], show: Show, arguments: argparse.Namespace
) -> None:
    most_fragments = arguments.fragments or math.inf
    most_frames = arguments.frames or math.inf
    for fragment in media.fragments():
        if fragment.is_complete:
            for keep in keeps:
                keep(fragment)
        show(tally.add(fragment))
        if tally.fragments >= most_fragments or tally.frames >= most_frames:
            return


def _watching(arguments: argparse.Namespace, tally: Tally) -> AbstractContextManager[Show]:
    """How arrivals are shown: on stdout, or, where that carries the media, as a live table on stderr."""
    stream = sys.stderr if arguments.output == "-" else sys.stdout
    terminal = None if arguments.json else console(stream)
    if terminal is not None:
        return live_table(terminal, tally, f"GetMedia {printable(arguments.stream)}")
    if arguments.output == "-":
        return nullcontext(lambda arrival: None)
    output = Output(as_json=arguments.json)
    if not arguments.json:
        output.line(HEADING)

    def show(arrival: Arrival) -> None:
        if arguments.json:
            output.record(event="fragment", **arrival._asdict())
        else:
            output.line(str(arrival))

    return nullcontext(show)


def _sum_up(tally: Tally, arguments: argparse.Namespace) -> None:
    """Said however the reading ended."""
    if arguments.json:
        Output(as_json=True).record(
            event="summary",
            fragments=tally.fragments,
            incomplete=tally.incomplete,
            frames=tally.frames,
            size=tally.size,
            seconds=round(tally.seconds, 3),
            continuation_token=tally.token,
        )
        return
    note(str(tally))
    if tally.incomplete:
        note("the last fragment was cut and is left out of the files")
    if tally.token is not None:
        note(f"go on with --start token:{printable(tally.token)}")

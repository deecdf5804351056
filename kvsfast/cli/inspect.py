"""``kvsfast inspect``: the elements of a file, its frames, or its fragments."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

import kvsfast
from kvsfast.cli.arguments import count
from kvsfast.cli.output import Output, clock, note, printable, quantity
from kvsfast.cli.tree import show_tree
from kvsfast.errors import InStreamError, UsageError

NAME = "inspect"
SUMMARY = "show what is in a Matroska file or a recorded response"
DESCRIPTION = """\
Show what is in a Matroska or WebM file, or in a recorded GetMedia response: by
default the tree of its elements, with offset and payload size in bytes, name
and value. The file is read as a stream, whatever its size.
"""
EPILOG = """\
examples:
  kvsfast inspect recording.mkv --depth 2          what a Segment holds
  kvsfast inspect recording.mkv --fragments        numbers, times, tokens, tags
  kvsfast inspect recording.mkv --frames --json    a JSON object per frame
  curl ... | kvsfast inspect -                     from a pipe
"""

FRAMES_HEADING = "     frame  track  codec                   time  wall clock                     size  flags"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file; - for standard input")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--frames", action="store_true", help="a line per frame")
    view.add_argument("--fragments", action="store_true", help="a line per fragment")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object per line, of every element, frame or fragment"
    )
    parser.add_argument(
        "--all", action="store_true", help="every block of the tree (else runs of them are summed up)"
    )
    parser.add_argument("--depth", type=count, metavar="N", help="the tree's first N levels of nesting")
    parser.add_argument(
        "--strict", action="store_true", help="a file that ends inside an element is an error"
    )


def run(arguments: argparse.Namespace) -> int:
    is_tree = not arguments.frames and not arguments.fragments
    if not is_tree and (arguments.all or arguments.depth):
        raise UsageError("--all and --depth belong to the tree, not to --frames and --fragments")
    output = Output(as_json=arguments.json)
    with _opened(arguments.file) as file:
        if is_tree:
            return show_tree(
                file, output, depth=arguments.depth, sum_up=not arguments.all, strict=arguments.strict
            )
        show = _show_frames if arguments.frames else _show_fragments
        return show(file, output, arguments.strict)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    if os.path.isdir(path):
        raise UsageError(f"{path} is a directory, expected a file")
    with open(path, "rb") as file:
        yield file


# -- frames


def _show_frames(file: BinaryIO, output: Output, strict: bool) -> int:
    if not output.as_json:
        output.line((FRAMES_HEADING, "dim"))
    with kvsfast.parse(file, strict=strict) as media:
        for position, frame in enumerate(media.frames()):
            track = frame.track
            codec = track.codec_id if track else ""
            if output.as_json:
                _record_frame(position, frame, codec, output)
            else:
                _show_frame(position, frame, codec, output)
    return 0


def _record_frame(position: int, frame: kvsfast.Frame, codec: str, output: Output) -> None:
    output.record(
        frame=position,
        fragment=frame.fragment.number,
        track=frame.track_number,
        codec=codec,
        media_time_ns=frame.media_time_ns,
        timestamp_ns=frame.timestamp_ns,
        size=frame.size,
        duration_ns=frame.duration_ns,
        discard_padding_ns=frame.discard_padding_ns,
        **{name: getattr(frame, f"is_{name}") for name in _FLAGS},
    )


def _show_frame(position: int, frame: kvsfast.Frame, codec: str, output: Output) -> None:
    flags = " ".join(word for name, word in _FLAGS.items() if getattr(frame, f"is_{name}"))
    wall = _wall(frame.timestamp_ns) if frame.fragment.producer_timestamp_ms is not None else "-"
    seconds = frame.media_time_ns / 1e9
    output.line(
        (f"{position:>10}  ", "dim"),
        f"{frame.track_number:>5}  {printable(codec):<16} {seconds:>10.3f}  {wall:<24} {frame.size:>10,}  ",
        (flags, "bold" if frame.is_keyframe else ""),
    )


#: Flags of a frame, and how a line spells them.
_FLAGS = {
    "keyframe": "key",
    "invisible": "invisible",
    "discardable": "discardable",
    "laced": "laced",
    "estimated": "time-estimated",
    "stored": "as-stored",
}


def _wall(nanoseconds: int) -> str:
    try:
        return clock(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000))
    except OverflowError:
        return f"{nanoseconds} ns"


# -- fragments


def _show_fragments(file: BinaryIO, output: Output, strict: bool) -> int:
    refusals = 0
    with kvsfast.parse(file, strict=strict) as media:
        for event in media.events():
            match event:
                case kvsfast.FragmentEnd():
                    _show_fragment(event, output)
                case kvsfast.LateTags():
                    _show_late_tags(event, output)
                case InStreamError():
                    refusals += 1
                    _show_error(event, output)
    if refusals:
        note(f"kvsfast inspect: the service wrote {quantity(refusals, 'error')}; read on from the last token")
    return 1 if refusals else 0


def _show_fragment(end: kvsfast.FragmentEnd, output: Output) -> None:
    start = end.start
    tags = start.tags + end.tags
    if output.as_json:
        output.record(
            event="fragment",
            number=start.number,
            offset=start.offset,
            server_timestamp=start.server_timestamp,
            producer_timestamp=start.producer_timestamp,
            millis_behind_now=end.millis_behind_now,
            continuation_token=end.continuation_token,
            is_complete=end.is_complete,
            frames=end.frame_count,
            size=end.size,
            tracks=[
                {"number": track.number, "codec": track.codec_id, "name": track.name}
                for track in start.tracks
            ],
            tags=[[tag.name, tag.value] for tag in tags],
        )
        return
    number = start.number or f"at byte {start.offset}"
    behind = "" if end.millis_behind_now is None else f"  {end.millis_behind_now / 1000:,.3f} s behind"
    times = "" if start.producer_timestamp is None else f"  producer {clock(start.producer_timestamp)}"
    times += "" if start.server_timestamp is None else f"  server {clock(start.server_timestamp)}"
    token = "" if end.continuation_token is None else _token(end.continuation_token, start.number)
    output.line(
        (number, "bold"),
        f"{times}{behind}  {quantity(end.frame_count, 'frame')}  {quantity(end.size, 'byte')}{token}",
        ("" if end.is_complete else "  incomplete", "red"),
        (_tags(tags), "cyan"),
    )


def _token(token: str, number: str | None) -> str:
    """The real service's tokens are the fragments' numbers; no need to say it twice."""
    return "  token = number" if token == number else f"  token {printable(token)}"


def _tags(tags: kvsfast.Tags) -> str:
    return "".join(f"  {printable(tag.name)}={printable(tag.value or '')}" for tag in tags)


def _show_late_tags(late: kvsfast.LateTags, output: Output) -> None:
    if output.as_json:
        output.record(
            event="late_tags", number=late.number, tags=[[tag.name, tag.value] for tag in late.tags]
        )
        return
    output.line(
        (f"tags after {late.number}" if late.number else "tags of no fragment", "bold"),
        (_tags(late.tags), "cyan"),
    )


def _show_error(error: InStreamError, output: Output) -> None:
    if output.as_json:
        output.record(
            event="error",
            id=error.error_id,
            code=error.error_code,
            number=error.fragment_number,
            message=error.message,
        )
        return
    output.line(
        ("error", "bold red"), f"  {error.error_id} {printable(error.error_code)}  {printable(error.message)}"
    )

"""The command ``kvsfast``: look at media, read a stream, serve one locally, and see it all at work.

Exit codes: 0 well, 1 the service, the media or the wire failed (one line on stderr says how, and what to do),
2 wrong usage, 130 ended by Ctrl-C, 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

import kvsfast
from kvsfast.cli import consume, demo, emulator, get_media, inspect
from kvsfast.cli.advice import advice
from kvsfast.cli.output import note, printable
from kvsfast.errors import KvsFastError, UsageError

__all__ = ["main"]

OK, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

EPILOG = """\
examples:
  kvsfast demo                                     see it at work, locally
  kvsfast inspect recording.mkv                    what is in a file
  kvsfast get-media front-door -o received.mkv     read a stream
  kvsfast consume front-door --checkpoint door.db  read it for ever
  kvsfast emulator --stream front-door=clip.mkv    serve files as streams

exit codes:
  0    well
  1    the service, the media or the wire failed: one line says how, and what to do
  2    wrong usage
  130  ended by Ctrl-C
  141  nobody reads the output any more
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (by default the process's), and return its exit code."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # tags may hold what the terminal's encoding lacks
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What Python still holds for stdout could not be written on exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KvsFastError, OSError) as error:
        if arguments.debug:
            traceback.print_exc()
        what_to_do = advice(error)
        note(f"kvsfast {arguments.command}: {_told(error)}" + (f"; {what_to_do}" if what_to_do else ""))
        return USAGE if isinstance(error, UsageError) else FAILED


def _told(error: KvsFastError | OSError) -> str:
    """What the error says, on one line, and nothing in it that a terminal would obey."""
    if isinstance(error, OSError) and not isinstance(error, KvsFastError) and error.filename is not None:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(" ".join(str(error).split())).rstrip(".") or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvsfast",
        description="Media out of Amazon Kinesis Video Streams.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kvsfast {kvsfast.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (demo, inspect, get_media, consume, emulator):
        command = commands.add_parser(
            module.NAME,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser

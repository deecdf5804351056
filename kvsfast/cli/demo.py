"""``kvsfast demo``: the whole way of the media on one machine, from a local service to frames."""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection
from typing import Any

import kvsfast
from kvsfast.cli.arguments import seconds
from kvsfast.cli.output import Output, console, quantity
from kvsfast.cli.recording import one_file
from kvsfast.cli.watch import Arrival, Show, Tally, live_table, rate
from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP
from kvsfast.errors import KvsFastError

NAME = "demo"
SUMMARY = "see it at work: a local service, read by the real client at full rate"
DESCRIPTION = """\
Start a local Kinesis Video service in a process of its own, on a clip that comes
with kvsfast, and read it as the real service is read: GetDataEndpoint, a signed
GetMedia request, TLS, an HTTP chunk per element. Nothing leaves this machine.
The figures at the end are those of the reading process alone.
"""
EPILOG = """\
The clip is sent again and again as fast as it is taken; its first pass is
written to the file.

examples:
  kvsfast demo
  kvsfast demo --seconds 20 --no-tls
"""

STREAM = "demo"
#: Of lines on what is no terminal.
LINES_PER_SECOND = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="S", help="how long to read (default: 5)"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="received.mkv",
        metavar="FILE",
        help="write fragments here (default: received.mkv)",
    )
    parser.add_argument("--no-tls", action="store_true", help="plain http")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object per second, and one of the summary"
    )


def run(arguments: argparse.Namespace) -> int:
    first_pass = sum(1 for _ in kvsfast.parse(CLIP).fragments())
    with _service(tls=not arguments.no_tls) as client_options:
        client = kvsfast.Client(**client_options)
        with client.get_media(STREAM, kvsfast.StartSelector.earliest()) as media:
            tls = media.response_metadata["TLS"]
            endpoint = media.response_metadata["Endpoint"]
            title = f"GetMedia over {tls['Version'] if tls else 'plain http'} from {endpoint}"
            tally = Tally()
            with one_file(arguments.output) as keep, _watching(arguments, tally, title) as show:
                for fragment in media.fragments():
                    if tally.fragments < first_pass:
                        keep(fragment)
                    show(tally.add(fragment))
                    if tally.seconds >= arguments.seconds:
                        break
            _sum_up(tally, arguments, min(first_pass, tally.fragments))
    return 0


# -- the service, in a process of its own


@contextmanager
def _service(*, tls: bool) -> Iterator[dict[str, Any]]:
    """A running service on the clip; gives the keywords for its client."""
    # Spawned, since a forked process would inherit what this one has measured and allocated.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, tls), name="kvsfast-demo-service")
    # Ctrl-C is for the reader; the service ends when the pipe does. A new process inherits what is ignored.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    there.close()
    try:
        try:
            told = here.recv()
        except EOFError:
            raise KvsFastError("the local service ended before it was ready; what it said is above") from None
        if isinstance(told, KvsFastError):
            raise told
        yield told
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection, tls: bool) -> None:
    try:
        with Emulator({STREAM: CLIP}, loop=True, tls=tls) as service:
            pipe.send(service.client_options())
            with suppress(EOFError):
                pipe.recv()
    except KvsFastError as error:
        pipe.send(error)


# -- what is shown


def _watching(arguments: argparse.Namespace, tally: Tally, title: str) -> AbstractContextManager[Show]:
    terminal = None if arguments.json else console(sys.stdout)
    if terminal is not None:
        return live_table(terminal, tally, title)
    output = Output(as_json=arguments.json)
    if not arguments.json:
        output.line(title)
    due = 1 / LINES_PER_SECOND

    def show(arrival: Arrival) -> None:
        """Not each of thousands of fragments a second."""
        nonlocal due
        if tally.seconds < due:
            return
        due += 1 / LINES_PER_SECOND
        if arguments.json:
            output.record(event="progress", number=arrival.number, **_received(tally))
        else:
            output.line(f"{arrival.number}  {tally}")

    return nullcontext(show)


def _received(tally: Tally) -> dict[str, Any]:
    return {
        "fragments": tally.fragments,
        "frames": tally.frames,
        "size": tally.size,
        "seconds": round(tally.seconds, 3),
    }


def _sum_up(tally: Tally, arguments: argparse.Namespace, written: int) -> None:
    took, cpu, peak = tally.seconds, tally.cpu_seconds, _peak_memory()
    output = Output(as_json=arguments.json)
    if arguments.json:
        output.record(
            event="summary",
            **_received(tally),
            incomplete=tally.incomplete,
            cpu_seconds=round(cpu, 3),
            peak_memory=peak,
            written=written,
            file=arguments.output,
        )
        return
    for name, value in {
        "fragments": f"{tally.fragments:,}, "
        + (f"{tally.incomplete} cut" if tally.incomplete else "all whole"),
        "frames": f"{tally.frames:,}",
        "media": f"{tally.size / 1e6:,.1f} MB in {took:.1f} s, {rate(tally.size, took)}",
        "CPU": f"{cpu / took:.0%} of one core, {cpu / tally.size * 1e9:.2f} s per GB" if tally.size else "-",
        "memory": f"{peak / 2**20:.0f} MiB at most",
        "file": f"{arguments.output}, {quantity(written, 'fragment')}",
    }.items():
        output.line((f"  {name:<11}", "dim"), (value, "bold"))
    output.line((f"  look at it with: kvsfast inspect {arguments.output} --fragments", "dim"))


def _peak_memory() -> int:
    """Bytes of this process that were in memory at once; the system counts them in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

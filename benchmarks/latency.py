"""How long a frame is under way: a server in another process sends one at a time, stamps it, and the client
looks at the clock when it holds it. Both clocks are the machine's monotonic one.

``python -m benchmarks.latency SERVER_OPTIONS`` is that server; ``measure`` runs it and reads from it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import IO, Any

import kvsfast
from benchmarks import media
from benchmarks.contenders.ours import client_of
from benchmarks.job import Server
from benchmarks.machine import ROOT
from kvsfast.emulator.framing import LAST_CHUNK, Framing

__all__ = ["READERS", "Delay", "measure"]

FRAME_SIZE = 500
STAMP = 8
CLUSTER = media.CLUSTER_OF_UNKNOWN_SIZE + media.number("E7", 0)


@dataclass(frozen=True)
class Delay:
    """Milliseconds from the moment when the server's send had returned, over all frames. May be negative: the
    client can be quicker than that. ``from_before_ms``: median from just before the send. ``each_ms``: all of
    them, in order."""

    reader: str
    transport: str
    frames: int
    median_ms: float
    p95_ms: float
    from_before_ms: float
    each_ms: list[float]


# -- the server


def serve(frames: int, interval_s: float, tls: bool) -> None:
    """One connection, one response: a document whose frames come one by one, each stamped with the time
    before it was sent. Says on stdout where it is, and at the end when each send had returned."""
    with contextlib.ExitStack() as stack:
        context, ca = None, None
        if tls:
            from kvsfast.emulator.tls import LocalAuthority

            authority = LocalAuthority()
            stack.callback(authority.close)
            context, ca = authority.server_context, authority.certificate_path
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        print(json.dumps({"port": listener.getsockname()[1], "ca": ca}), flush=True)
        connection = listener.accept()[0]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            print(json.dumps(_send(connection, frames, interval_s)), flush=True)
            sys.stdin.read()


def _send(connection: socket.socket, frames: int, interval_s: float) -> list[int]:
    framing = Framing("element")
    _read_request(connection)
    head = framing.frame(media.service_head(0) + CLUSTER)[0]
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: video/webm\r\n\r\n" + head
    )
    returned = []
    started = time.monotonic()
    for at in range(frames):
        time.sleep(max(0.0, started + (at + 1) * interval_s - time.monotonic()))
        payload = time.monotonic_ns().to_bytes(STAMP, "big") + bytes(FRAME_SIZE - STAMP)
        connection.sendall(framing.frame(media.simple_block(at, payload))[0])
        returned.append(time.monotonic_ns())
    connection.sendall(LAST_CHUNK)
    return returned


def _read_request(connection: socket.socket) -> None:
    """Whatever it asks for: it is a POST whose body ends in a brace."""
    request = b""
    while not request.endswith(b"}"):
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError("the request was cut")
        request += piece


# -- the readers: each gives (time in hand, stamp) of every frame


Arrival = tuple[int, int]


def frames_reader(server: Server) -> Iterator[Arrival]:
    with client_of(server).get_media(server.stream, kvsfast.StartSelector.now()) as stream:
        for frame in stream.frames():
            data = frame.data
            yield time.monotonic_ns(), int.from_bytes(data[:STAMP], "big")


def boto3_read(server: Server) -> Iterator[Arrival]:
    body = _boto3_body(server)
    return _parsed(iter(lambda: body.read(65_536), b""))


def boto3_iter_chunks(server: Server) -> Iterator[Arrival]:
    return _parsed(_boto3_body(server).iter_chunks())


def boto3_through_parse(server: Server) -> Iterator[Arrival]:
    with kvsfast.parse(_boto3_body(server)) as stream:
        for frame in stream.frames():
            data = frame.data
            yield time.monotonic_ns(), int.from_bytes(data[:STAMP], "big")


def _boto3_body(server: Server) -> Any:
    import boto3

    client = boto3.client(
        "kinesis-video-media",
        region_name=server.region,
        endpoint_url=server.media_endpoint_url,
        verify=server.ca,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )
    return client.get_media(StreamName=server.stream, StartSelector={"StartSelectorType": "NOW"})["Payload"]


def _parsed(pieces: Iterator[bytes]) -> Iterator[Arrival]:
    parser = kvsfast.FragmentParser()
    for piece in pieces:
        parser.receive_data(piece)
        while (event := parser.next_event()) is not None:
            if isinstance(event, kvsfast.Frame):
                yield time.monotonic_ns(), int.from_bytes(event.data[:STAMP], "big")


READERS: dict[str, Callable[[Server], Iterator[Arrival]]] = {
    "kvsfast frames()": frames_reader,
    "boto3 read(65536)": boto3_read,
    "boto3 iter_chunks() of 1024": boto3_iter_chunks,
    "kvsfast.parse(boto3's body)": boto3_through_parse,
}


# -- measuring


def measure(reader: str, transport: str, *, frames: int, interval_s: float) -> Delay:
    """Start a server, read all its frames, compare the clocks."""
    with _server(frames, interval_s, transport) as (server, process):
        arrivals = list(READERS[reader](server))
        returned: list[int] = json.loads(_line(process))
    if len(arrivals) != frames:
        raise RuntimeError(f"{reader} got {len(arrivals)} of {frames} frames")
    after = [(arrived - sent) / 1e6 for (arrived, _), sent in zip(arrivals, returned, strict=True)]
    before = [(arrived - stamp) / 1e6 for arrived, stamp in arrivals]
    p95 = quantiles(after, n=20, method="inclusive")[-1]
    return Delay(reader, transport, frames, median(after), p95, median(before), after)


@contextlib.contextmanager
def _server(frames: int, interval_s: float, transport: str) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "benchmarks.latency", str(frames), str(interval_s), transport]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        place = json.loads(_line(process))
        url = f"{'http' if place['ca'] is None else 'https'}://127.0.0.1:{place['port']}"
        yield Server(url, url, "us-east-1", "key", "secret", place["ca"], "paced"), process
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    stdout: IO[str] | None = process.stdout
    assert stdout
    line = stdout.readline()
    if not line:
        raise RuntimeError(f"the server of the latency benchmark ended with status {process.wait()}")
    return line


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "tls")

"""Many streams in one process: what they cost together, and whether one falls behind.

``python -m benchmarks.fleet READER STREAMS SECONDS`` is the process that reads, with the server on stdin. It
measures from the moment when every stream has given something, or when that has taken a minute.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks import native
from benchmarks.contenders.libraries import START, client_options
from benchmarks.contenders.meter import cpu_seconds, resident
from benchmarks.fleet_server import fleet_server
from benchmarks.job import Server
from benchmarks.machine import ROOT
from benchmarks.rivals.programs import PYTHON_RIVALS

__all__ = ["FLEETS", "FLOOR", "READERS", "Fleet", "FleetOutcome", "run_fleet"]

#: Seconds after which those streams that gave nothing are no longer waited for: they count as slowest.
STARTING = 60.0
#: What it costs to be there at all: a program in C (c/fleet.c).
FLOOR = "C: epoll and recv, nothing parsed"
#: Bytes that boto3 and aiobotocore are asked for at a time.
READ = 16_384


@dataclass(frozen=True)
class Fleet:
    """``rate`` in bytes per second of each stream."""

    title: str
    streams: int
    rate: int
    transport: str


FLEETS = {
    "plain": Fleet("1,000 streams of 2 Mbit/s", 1000, 250_000, "tcp"),
    "tls": Fleet("400 streams of 2 Mbit/s", 400, 250_000, "tls"),
    "fast": Fleet("16 streams of 200 Mbit/s", 16, 25_000_000, "tcp"),
}


@dataclass(frozen=True)
class FleetOutcome:
    """``share``: of one core. ``slowest`` and ``median``: what a stream gave, relative to what the server had
    for it."""

    share: float
    megabytes_per_second: float
    peak_bytes: int
    slowest: float
    median: float


class Counter:
    """Bytes by stream. ``start`` is called by each reader whenever it got something."""

    def __init__(self, streams: int, seconds: float) -> None:
        self._bytes = [0] * streams
        self._missing = streams
        self.seconds = seconds
        self._began: tuple[float, float, list[int]] | None = None
        self._opened = time.monotonic()
        self.is_over = False
        self.told: dict[str, object] = {}
        self._lock = threading.Lock()

    def add(self, stream: int, size: int) -> None:
        if not self._bytes[stream]:
            with self._lock:
                self._missing -= 1
        self._bytes[stream] += size
        now = time.monotonic()
        if self._began is None:
            if self._missing == 0 or now - self._opened > STARTING:
                self._began = now, cpu_seconds(), list(self._bytes)
        elif now - self._began[0] >= self.seconds and not self.is_over:
            with self._lock:
                self._end(now)

    def _end(self, now: float) -> None:
        if self.is_over or self._began is None:
            return
        began, cpu, before = self._began
        read = [after - start for after, start in zip(self._bytes, before, strict=True)]
        self.told = {
            "cpu_s": cpu_seconds() - cpu,
            "wall_s": now - began,
            "peak_bytes": resident("VmHWM"),
            "read_bytes": read,
        }
        self.is_over = True


# -- who reads


def consume_many(server: Server, streams: int, counter: Counter) -> None:
    """kvsfast: one thread, fragments as they come."""
    import kvsfast
    from benchmarks.contenders.ours import client_of

    client = client_of(server)
    names = {f"stream-{at}": at for at in range(streams)}
    consumers = {client.consume(name, kvsfast.StartSelector.earliest()): at for name, at in names.items()}
    with kvsfast.consume_many(consumers) as group:
        for consumer, frame in group.frames():
            counter.add(consumers[consumer], len(frame.data))
            if counter.is_over:
                return


def threads_boto3(server: Server, streams: int, counter: Counter) -> None:
    """A thread for each stream, boto3's ``read``."""
    import boto3
    from botocore.config import Config

    pool = Config(max_pool_connections=streams)
    client = boto3.client("kinesis-video-media", config=pool, **client_options(server))

    def read(at: int) -> None:
        body = client.get_media(StreamName=f"stream-{at}", StartSelector=START)["Payload"]  # type: ignore[arg-type]
        while not counter.is_over:
            counter.add(at, len(body.read(READ)))

    threads = [threading.Thread(target=read, args=(at,), daemon=True) for at in range(streams)]
    for thread in threads:
        thread.start()
    while not counter.is_over:
        time.sleep(0.05)


def tasks_aiobotocore(server: Server, streams: int, counter: Counter) -> None:
    """A task for each stream, aiobotocore's ``read``."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    async def read(client: object, at: int) -> None:
        answer = await client.get_media(StreamName=f"stream-{at}", StartSelector=START)  # type: ignore[attr-defined]
        while not counter.is_over:
            counter.add(at, len(await answer["Payload"].read(READ)))

    async def run() -> None:
        config = AioConfig(max_pool_connections=streams)
        async with get_session().create_client(
            "kinesis-video-media", config=config, **client_options(server)
        ) as client:
            tasks = [asyncio.create_task(read(client, at)) for at in range(streams)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    asyncio.run(run())


def _floor(server: Server, streams: int, counter: Counter) -> None:
    """This process becomes the program in C."""
    port = server.media_endpoint_url.rpartition(":")[2]
    program = native.build("fleet")
    os.execv(program, [str(program), port, str(streams), str(counter.seconds), server.ca or "-"])


READERS: dict[str, Callable[[Server, int, Counter], None]] = {
    FLOOR: _floor,
    "kvsfast consume_many": consume_many,
    "boto3, a thread each": threads_boto3,
    "aiobotocore, a task each": tasks_aiobotocore,
}


def missing(reader: str) -> str | None:
    """Why it cannot run here, or None."""
    if reader == FLOOR:
        return native.missing("fleet")
    return PYTHON_RIVALS.missing() if _is_rival(reader) else None


def _is_rival(reader: str) -> bool:
    """Whether it runs in the environment of the rivals."""
    return reader.startswith("aiobotocore")


def run_fleet(fleet: Fleet, reader: str, seconds: float) -> FleetOutcome:
    python = PYTHON_RIVALS.command() if _is_rival(reader) else [sys.executable]
    with fleet_server(fleet.rate, fleet.transport) as server:
        done = subprocess.run(
            [*python, "-m", "benchmarks.fleet", reader, str(fleet.streams), str(seconds)],
            input=json.dumps(dataclasses.asdict(server)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=STARTING + seconds + 60,
            cwd=ROOT,
        )
    told = json.loads(done.stdout)
    wall, read = told["wall_s"], told["read_bytes"]
    due = fleet.rate * wall
    return FleetOutcome(
        told["cpu_s"] / wall, sum(read) / wall / 1e6, told["peak_bytes"], min(read) / due, median(read) / due
    )


def main() -> None:
    reader, streams, seconds = READERS[sys.argv[1]], int(sys.argv[2]), float(sys.argv[3])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server(**json.loads(sys.stdin.read()))
    counter = Counter(streams, seconds)
    reader(server, streams, counter)
    print(json.dumps(counter.told), flush=True)
    os._exit(0)  # threads that wait for bytes would hold the interpreter


if __name__ == "__main__":
    main()

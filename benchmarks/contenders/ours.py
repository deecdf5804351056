"""kvsfast as its users write it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import kvsfast
from benchmarks.contenders.meter import Meter
from benchmarks.job import Job, Outcome, Server, Sums

__all__ = ["client_of", "columns", "fragments", "frames", "read", "touch"]


def client_of(server: Server) -> kvsfast.Client:
    return kvsfast.Client(
        server.region,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        verify=server.ca,
        endpoint_url=server.endpoint_url,
        media_endpoint_url=server.media_endpoint_url,
    )


def touch(frames: Iterable[kvsfast.Frame]) -> Sums:
    """Time, length, first and last byte of every frame, summed."""
    count = size = time_ns = edges = 0
    for frame in frames:
        count += 1
        size += len(frame)
        time_ns += frame.media_time_ns
        edges += frame[0] + frame[-1]
    return Sums(count, size, time_ns, edges)


def add(left: Sums, right: Sums) -> Sums:
    return Sums(
        left.frames + right.frames,
        left.bytes + right.bytes,
        left.time_ns + right.time_ns,
        left.edges + right.edges,
    )


def frames(job: Job) -> Outcome:
    client = client_of(job.server)
    meter = Meter()
    with client.get_media(job.server.stream, kvsfast.StartSelector.earliest()) as media:
        with meter:
            sums = touch([next(media.frames())])
            meter.first()
            sums = add(sums, touch(islice(media.frames(), job.sums.frames - 1)))
        return meter.outcome(job.media_bytes, sums)


def fragments(job: Job) -> Outcome:
    client = client_of(job.server)
    meter = Meter()
    sums = Sums(0, 0, 0, 0)
    with client.get_media(job.server.stream, kvsfast.StartSelector.earliest()) as media:
        with meter:
            for fragment in islice(media.fragments(), job.fragments):
                if not sums.frames:
                    meter.first()
                sums = add(sums, touch(fragment.frames))
        return meter.outcome(job.media_bytes, sums)


def columns(job: Job) -> Outcome:
    import numpy as np

    client = client_of(job.server)
    meter = Meter()
    count = size = time_ns = edges = 0
    with client.get_media(job.server.stream, kvsfast.StartSelector.earliest()) as media:
        with meter:
            for fragment in islice(media.fragments(), job.fragments):
                if not count:
                    meter.first()
                table = fragment.columns
                raw = np.frombuffer(fragment.raw, np.uint8)
                first = np.asarray(table.offset).astype(np.intp)
                length = np.asarray(table.length)
                count += len(length)
                size += int(length.sum(dtype=np.int64))
                time_ns += int(np.asarray(table.media_time_ns).sum())
                edges += int(raw[first].sum(dtype=np.int64)) + int(
                    raw[first + length - 1].sum(dtype=np.int64)
                )
        return meter.outcome(job.media_bytes, Sums(count, size, time_ns, edges))


def read(job: Job) -> Outcome:
    client = client_of(job.server)
    meter = Meter()
    left = job.media_bytes
    with client.get_media(job.server.stream, kvsfast.StartSelector.earliest()) as media:
        with meter:
            left -= len(media.read(65_536))
            meter.first()
            while left > 0:
                left -= len(media.read(min(left, 65_536)))
        return meter.outcome(job.media_bytes - left)

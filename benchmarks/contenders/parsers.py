"""What Python offers for parsing what boto3 receives: every frame is touched, as kvsfast's contenders do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from benchmarks.contenders.libraries import boto3_body
from benchmarks.contenders.meter import Meter
from benchmarks.job import Job, Outcome, Sums

__all__ = [
    "PYAV_OPTIONS",
    "kvsparser_fragments",
    "packets",
    "pyav_packets",
    "reparsed_fragments",
    "touch_documents",
    "touch_packets",
]

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TIMESTAMP, SIMPLE_BLOCK = 0xE7, 0xA3


class _Adder:
    """Sums while they grow."""

    def __init__(self) -> None:
        self.frames = self.bytes = self.time_ns = self.edges = 0

    def add(self, time_ns: int, size: int, first: int, last: int) -> None:
        self.frames += 1
        self.bytes += size
        self.time_ns += time_ns
        self.edges += first + last

    def sums(self) -> Sums:
        return Sums(self.frames, self.bytes, self.time_ns, self.edges)


# -- PyAV


def pyav_packets(job: Job) -> Outcome:
    """FFmpeg's demuxer over boto3's body, packets as PyAV gives them; nothing is decoded."""
    import av

    meter = Meter()
    body = boto3_body(job.server)
    with meter:
        with av.open(body, format="matroska", **PYAV_OPTIONS) as container:
            adder = touch_packets(islice(packets(container), job.sums.frames), meter)
    body.close()
    return meter.outcome(job.media_bytes, adder.sums())


#: Little is read before the first packet, and nothing is decoded to find out what it is.
PYAV_OPTIONS: dict[str, Any] = {"options": {"probesize": "32", "analyzeduration": "0"}}


def packets(container: Any) -> Iterator[Any]:
    """Without the empty one at the end."""
    return (packet for packet in container.demux() if packet.size)


def touch_packets(packets: Iterator[Any], meter: Meter | None = None) -> _Adder:
    adder = _Adder()
    for packet in packets:
        if meter and not adder.frames:
            meter.first()
        data = memoryview(packet)
        adder.add(packet.pts * 1_000_000, len(data), data[0], data[-1])
    return adder


# -- ebmlite, by whole fragments


def reparsed_fragments(job: Job) -> Outcome:
    """In the style of AWS's consumer sample: after each read of 1 KiB the whole buffer is parsed again, until
    a second EBML header shows that the fragment before it is complete."""
    import ebmlite

    schema = ebmlite.loadSchema("matroska.xml")
    meter = Meter()
    adder = _Adder()
    body = boto3_body(job.server)
    with meter:
        buffer = bytearray()
        for piece in body.iter_chunks():
            buffer += piece
            following = [element.offset for element in schema.loads(bytes(buffer)) if element.id == EBML]
            if not following:
                continue
            _touch(schema.loads(bytes(buffer[: following[0]])), adder, meter)
            del buffer[: following[0]]
            if adder.frames >= job.sums.frames:
                break
    body.close()
    return meter.outcome(job.media_bytes, adder.sums())


def kvsparser_fragments(job: Job) -> Outcome:
    """The one consumer that PyPI has, over the same ebmlite."""
    import kvsparser

    meter = Meter()
    adder = _Adder()
    body = boto3_body(job.server)
    with meter:
        for fragment in islice(kvsparser.Parser({"Payload": body}), job.fragments):
            _touch(fragment.dom, adder, meter)
    body.close()
    return meter.outcome(job.media_bytes, adder.sums())


def touch_documents(document: Any) -> Sums:
    adder = _Adder()
    _touch(document, adder, None)
    return adder.sums()


def _touch(document: Any, adder: _Adder, meter: Meter | None) -> None:
    for element in document:
        if element.id == SEGMENT:
            _touch(element, adder, meter)
        elif element.id == CLUSTER:
            cluster_ms = 0
            for child in element:
                if child.id == TIMESTAMP:
                    cluster_ms = child.value
                elif child.id == SIMPLE_BLOCK:
                    if meter and not adder.frames:
                        meter.first()
                    block = child.value  # track number in one byte, time in two, flags
                    time_ms = cluster_ms + int.from_bytes(block[1:3], "big", signed=True)
                    adder.add(time_ms * 1_000_000, len(block) - 4, block[4], block[-1])

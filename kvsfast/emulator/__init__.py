"""A local Kinesis Video service, for tests, demos and benchmarks.

    with kvsfast.emulator.Emulator(streams={"front-door": "clip.mkv"}) as service:
        client = boto3.client("kinesisvideo", **service.client_options())

It answers GetDataEndpoint and GetMedia over HTTP/1.1 as the real service was seen to: the same documents,
tags, fragment numbers, HTTP chunks, signatures, errors and limits. boto3's own clients work against it
unchanged. docs/emulator.md describes what can be made to happen.
"""

from kvsfast.emulator.clock import Clock, ManualClock
from kvsfast.emulator.faults import Broken, Cut, Drip, ErrorDocument, HttpError, NoAnswer, Stall
from kvsfast.emulator.options import StreamOptions
from kvsfast.emulator.plans import Faults, RandomFaults
from kvsfast.emulator.presets import PRESETS, Preset
from kvsfast.emulator.producer import Producer
from kvsfast.emulator.service import Emulator

__all__ = [
    "PRESETS",
    "Broken",
    "Clock",
    "Cut",
    "Drip",
    "Emulator",
    "ErrorDocument",
    "Faults",
    "HttpError",
    "ManualClock",
    "NoAnswer",
    "Preset",
    "Producer",
    "RandomFaults",
    "Stall",
    "StreamOptions",
]

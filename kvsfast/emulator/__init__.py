"""A local Kinesis Video service, for tests, demos and benchmarks.

    with kvsfast.emulator.Emulator(streams={"front-door": "clip.mkv"}) as service:
        client = boto3.client("kinesisvideo", **service.client_options())

It answers GetDataEndpoint and GetMedia over HTTP/1.1 as the real service was seen to: the same documents,
tags, fragment numbers, HTTP chunks, signatures, errors and limits. boto3's own clients work against it
unchanged.
"""

from kvsfast.emulator.faults import Cut, ErrorDocument, Faults, HttpError, RandomFaults, Stall
from kvsfast.emulator.service import Emulator

__all__ = ["Cut", "Emulator", "ErrorDocument", "Faults", "HttpError", "RandomFaults", "Stall"]

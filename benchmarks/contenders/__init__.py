"""Who runs in a race, each in a process of its own.

A contender is a command that takes a :class:`benchmarks.job.Job` on stdin and answers with an
:class:`benchmarks.job.Outcome` on stdout. Those in Python are functions of the modules here (``python -m
benchmarks.contenders NAME``); those in other languages are programs of :mod:`benchmarks.rivals`."""

from __future__ import annotations

from benchmarks.contender import Contender, PythonContender
from benchmarks.rivals.programs import COMPILED, EnvironmentContender

__all__ = ["CONTENDERS", "Contender", "PythonContender"]

_FLOOR = (
    PythonContender(
        "bare",
        "bare recv_into, ring of 1 MiB",
        "wire",
        kind="floor",
        quick=True,
        function="sockets.bare",
    ),
    PythonContender(
        "bare-fragments",
        "bare recv_into, ring of two fragments",
        "wire",
        kind="floor",
        quick=True,
        bare="bare-fragments",
        function="sockets.bare_fragments",
    ),
)

_KVSFAST = (
    PythonContender(
        "frames",
        "kvsfast frames(), each touched",
        "frames",
        kind="kvsfast",
        quick=True,
        function="ours.frames",
    ),
    PythonContender(
        "fragments",
        "kvsfast fragments(), each frame touched",
        "frames",
        kind="kvsfast",
        quick=True,
        bare="bare-fragments",
        function="ours.fragments",
    ),
    PythonContender(
        "columns",
        "kvsfast fragments(), columns in numpy",
        "frames",
        kind="kvsfast",
        quick=True,
        bare="bare-fragments",
        function="ours.columns",
        packages=("numpy",),
    ),
    PythonContender(
        "read",
        "kvsfast read(65536), not parsed",
        "bytes",
        kind="kvsfast",
        quick=True,
        function="ours.read",
    ),
)

_LIBRARIES = (
    PythonContender(
        "boto3",
        "boto3 read(65536), not parsed",
        "bytes",
        quick=True,
        function="libraries.boto3_read",
        packages=("boto3",),
    ),
    PythonContender(
        "boto3-chunks",
        "boto3 iter_chunks(65536), not parsed",
        "bytes",
        most_rounds=3,
        function="libraries.boto3_iter_chunks",
        packages=("boto3",),
    ),
    PythonContender(
        "boto3-iterate",
        "boto3 for piece in body, not parsed",
        "bytes",
        most_rounds=3,
        most_bytes=64_000_000,
        function="libraries.boto3_iterate",
        packages=("boto3",),
    ),
    EnvironmentContender(
        "aiobotocore",
        "aiobotocore read(65536), not parsed",
        "bytes",
        most_rounds=3,
        function="libraries.aiobotocore_read",
    ),
    EnvironmentContender(
        "httpx",
        "httpx iter_raw(65536), not parsed",
        "bytes",
        most_bytes=16_000_000,
        most_rounds=3,
        function="libraries.httpx_stream",
    ),
    PythonContender(
        "pycurl",
        "pycurl to /dev/null, not parsed",
        "bytes",
        quick=True,
        function="libraries.pycurl_discard",
        packages=("pycurl",),
    ),
    EnvironmentContender(
        "pyav",
        "boto3 + PyAV, packets touched",
        "frames",
        most_rounds=3,
        function="parsers.pyav_packets",
    ),
    EnvironmentContender(
        "ebmlite",
        "boto3 + ebmlite as AWS's sample does",
        "frames",
        most_rounds=2,
        most_bytes=1_000_000,  # a lap, whatever its length
        function="parsers.reparsed_fragments",
    ),
    EnvironmentContender(
        "kvsparser",
        "boto3 + kvsparser",
        "frames",
        most_rounds=2,
        most_bytes=1_000_000,  # a lap, whatever its length
        function="parsers.kvsparser_fragments",
    ),
)

CONTENDERS: dict[str, Contender] = {
    contender.name: contender for contender in (*_FLOOR, *_KVSFAST, *_LIBRARIES, *COMPILED)
}

"""Parsers of Python over a file in memory.

``python -m benchmarks.contenders.memory PARSER FILE ROUNDS`` answers as ``c/push_copy.c`` does."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders.parsers import PYAV_OPTIONS, packets, touch_documents, touch_packets
from benchmarks.job import Sums


def pyav(media: bytes) -> Sums:
    import av

    with av.open(io.BytesIO(media), format="matroska", **PYAV_OPTIONS) as container:
        return touch_packets(packets(container)).sums()


def ebmlite(media: bytes) -> Sums:
    import ebmlite

    return touch_documents(ebmlite.loadSchema("matroska.xml").loads(media))


PARSERS: dict[str, Callable[[bytes], Sums]] = {"pyav": pyav, "ebmlite": ebmlite}


def main() -> None:
    parser, path, rounds = sys.argv[1:]
    media = Path(path).read_bytes()
    seconds = []
    for _ in range(int(rounds)):
        began = time.process_time()
        sums = PARSERS[parser](media)
        seconds.append(time.process_time() - began)
    print(json.dumps({"sums": dataclasses.asdict(sums), "seconds": seconds}))


if __name__ == "__main__":
    main()

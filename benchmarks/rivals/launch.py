"""``python -m benchmarks.rivals.launch PROGRAM``: signs the request of the job on stdin, then becomes
PROGRAM, with what it has to know as arguments and the request on its stdin (see ``c/job.h``)."""

from __future__ import annotations

import os
import sys

from benchmarks.job import Job
from benchmarks.request import signed


def main() -> None:
    job = Job.from_json(sys.stdin.read())
    url, headers, body = signed(job.server)
    head = "".join(f"{name}: {value}\n" for name, value in headers.items()) + "\n"
    reader, writer = os.pipe()
    os.write(writer, head.encode() + body)  # a pipe holds 64 KiB
    os.close(writer)
    os.dup2(reader, 0)
    goals = (job.media_bytes, job.wire_bytes, job.sums.frames)
    os.execv(sys.argv[1], [sys.argv[1], url, job.server.ca or "-", *map(str, goals)])


if __name__ == "__main__":
    main()

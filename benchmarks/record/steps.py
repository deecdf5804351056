"""What a record consists of: the other commands, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Step"]


@dataclass(frozen=True)
class Step:
    """``arguments`` of ``python -m benchmarks``. ``minutes`` it takes on two cores, about."""

    name: str
    arguments: str
    minutes: float


#: Those that are close to each other, whose order is worth many rounds and every workload.
_FLOOR = "--only bare --only bare-fragments --only c-receive"
_OURS = "--only frames --only fragments --only columns"
_CLOSE = f"{_FLOOR} {_OURS} --only boto3 --only pycurl --only go-sdk-v2 --only rust-sdk"
_WORKLOADS = " ".join(f"--workload {name}" for name in ("aac", "200mbit", "4k", "10mb", "50mb", "tags"))
_PACED = f"--pace 25MB --workload 1080p {_CLOSE} --only go-sdk-v1 --only pyav"

FULL = (
    Step("race-1080p", "--workload 1080p --rounds 9 --bytes 256MB", 8),
    Step("race-audio", "--workload audio --rounds 5 --bytes 32MB", 5),
    Step("race-workloads", f"{_WORKLOADS} {_CLOSE} --rounds 3 --bytes 128MB", 6),
    Step("race-paced", f"{_PACED} --rounds 3 --bytes 50MB", 4),
    Step("micro", "micro --rounds 25", 1),
    Step("micro-rivals", "micro --rivals --rounds 3", 2),
    Step("latency", "latency --frames 100", 1),
    Step("curves", "curves", 1),
    Step("session-tcp", "session --session-gb 20", 1),
    Step("session-tls", "session --session-gb 5 --transport tls", 1),
    Step("start", "start", 1),
    Step("fleet", "fleet --seconds 10", 3),
)

#: The same shape in little: whether everything works, not what it costs.
QUICK = (
    Step("race-1080p", "--workload 1080p --rounds 2 --bytes 32MB", 2),
    Step("race-audio", f"--workload audio --rounds 1 --bytes 8MB {_CLOSE}", 0.5),
    Step("race-workloads", f"--workload tags {_FLOOR} {_OURS} --rounds 1 --bytes 16MB", 0.5),
    Step("race-paced", f"--pace 25MB --workload 1080p {_FLOOR} {_OURS} --rounds 1 --bytes 12MB", 0.5),
    Step("micro", "micro --rounds 3", 0.2),
    Step("micro-rivals", "micro --rivals --rounds 1", 1),
    Step("latency", "latency --frames 10", 0.3),
    Step("curves", "curves --rounds 3", 0.5),
    Step("session-tcp", "session --session-gb 1", 0.2),
    Step("session-tls", "session --session-gb 0.5 --transport tls", 0.2),
    Step("start", "start --rounds 3", 0.2),
    Step("fleet", "fleet --seconds 2", 1),
)

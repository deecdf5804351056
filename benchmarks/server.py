"""The server of a run, in one process: the local service, once over TCP and once over TLS for each workload.

``python -m benchmarks.server BANDWIDTH WORKLOAD...`` prints one JSON line and serves until its stdin closes.
BANDWIDTH in bytes per second of a session, 0 for none. The media is framed before the first request; what is
left to do per fragment are the two Tags of the service."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.job import Server
from benchmarks.machine import ROOT
from benchmarks.workloads import WORKLOADS
from kvsfast.emulator import Emulator

__all__ = ["TRANSPORTS", "serving"]

TRANSPORTS = ("tcp", "tls")


@contextlib.contextmanager
def serving(workloads: list[str], bandwidth: float | None = None) -> Iterator[dict[tuple[str, str], Server]]:
    """Run the server as long as the block lasts: (workload, transport) -> where it is. ``bandwidth``: bytes
    per second of each session."""
    command = [sys.executable, "-m", "benchmarks.server", str(bandwidth or 0), *workloads]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin and process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the benchmark's server ended with status {process.wait()}")
        yield {(workload, transport): Server(**fields) for workload, transport, fields in json.loads(line)}
        process.stdin.close()


def main() -> None:
    with contextlib.ExitStack() as stack:
        places = []
        for name in sys.argv[2:]:
            source, pieces = WORKLOADS[name].source()
            for transport in TRANSPORTS:
                service = stack.enter_context(
                    Emulator(
                        {name: source},
                        loop=True,
                        pieces=pieces,
                        limits=False,
                        bandwidth=float(sys.argv[1]) or None,
                        tls=transport == "tls",
                        session_seconds=86_400,
                    )
                )
                server = Server(
                    service.endpoint_url,
                    service.media_endpoint_url,
                    service.region,
                    service.credentials.access_key,
                    service.credentials.secret_key,
                    service.ca_certificate_path,
                    name,
                )
                places.append((name, transport, dataclasses.asdict(server)))
        print(json.dumps(places), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

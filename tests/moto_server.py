"""A local DynamoDB for tests: moto's server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

# It chooses the port itself, since one that was free for us may not be so for it.
_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until whoever started it is gone
"""


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a server that is empty at first."""
    # Nothing of what whoever runs the tests has in AWS is to be seen by it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().decode().strip()  # importing moto takes seconds
            assert port, "moto's server has ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def dynamodb_options(url: str) -> dict[str, Any]:
    """What ``boto3.client("dynamodb", ...)`` needs to reach it."""
    return {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }

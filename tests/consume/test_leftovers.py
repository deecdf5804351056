"""What a consumer and its client leave behind when they are closed: nothing, and the garbage collector is not
needed for that."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvsfast
from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator({"front-door": CLIP}, limits=False, idle_seconds=30.0) as service:
        yield service


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sockets_to(port: int) -> int:
    """Connections of this process that lead to a local port, by the kernel's table."""
    remote = f"0100007F:{port:04X}"
    own = set(_open_files())
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2] == remote and f"socket:[{row[9]}]" in own for row in rows)


def _open_files() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the service closes some meanwhile
            yield os.readlink(f"/proc/self/fd/{fd}")


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("mode", ["fragments", "frames", "events"])
@pytest.mark.parametrize("prefetch_bytes", [None, 65536])
def test_a_closed_consumer_holds_no_receive_memory(
    service: Emulator, mode: str, prefetch_bytes: int | None
) -> None:
    before = kvsfast.memory_stats().in_use
    with kvsfast.Client(**service.client_options()) as client:
        consumer = client.consume(
            "front-door", kvsfast.StartSelector.earliest(), prefetch_bytes=prefetch_bytes
        )
        with consumer:
            items = {"fragments": consumer.__iter__, "frames": consumer.frames, "events": consumer.events}
            for _ in items[mode]():
                break
            assert kvsfast.memory_stats().in_use > before
            del _
    assert kvsfast.memory_stats().in_use == before


@pytest.mark.usefixtures("no_collector")
def test_a_closed_client_has_no_connections(service: Emulator) -> None:
    ports = [int(url.rpartition(":")[2]) for url in (service.endpoint_url, service.media_endpoint_url)]
    with kvsfast.Client(**service.client_options()) as client:
        with client.consume("front-door", kvsfast.StartSelector.earliest()) as consumer:
            next(iter(consumer))
            assert [sockets_to(port) for port in ports] == [1, 1]
        assert client.get_data_endpoint("front-door") == service.media_endpoint_url
    assert [sockets_to(port) for port in ports] == [0, 0]
    assert client.get_data_endpoint("front-door", endpoint_lifetime=1e-9) == service.media_endpoint_url
    client.close()

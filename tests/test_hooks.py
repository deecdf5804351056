"""Hooks around each attempt, blocking and on an event loop: order, count, and what one that raises does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config

from kvsfast import Client, ServiceError, StandardRetry, StartSelector, TransportError, aio
from kvsfast.protocols import Request, Response
from tests.wire import Server, respond

NOW = StartSelector.now()
HOOKS = ("before_sign", "before_send", "after_response")

pytestmark = pytest.mark.usefixtures("no_environment")


class Face:
    """One way of calling; each call is closed as soon as its head is there."""

    def __init__(self, kind: str, server: Server) -> None:
        keywords: dict[str, Any] = {
            "region_name": "eu-west-1",
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
            "config": Config(proxies={}),
            "media_endpoint_url": server.url,
            "retry": StandardRetry(base=0),
        }
        self.kind = kind
        self.client = Client(**keywords)
        self.aio = aio.Client(**keywords)

    def call(self, stream: str, **changes: Any) -> dict[str, Any]:
        if self.kind == "blocking":
            with self.client.get_media(stream, NOW, **changes) as media:
                return media.response_metadata

        async def main() -> dict[str, Any]:
            async with self.aio.get_media(stream, NOW, **changes) as media:
                return media.response_metadata

        return asyncio.run(main())

    def close(self) -> None:
        self.client.close()
        self.aio.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Fails once, and works from then on."""
    with Server(respond(b"", "500 Oops"), respond(b"")) as server:
        yield server


@pytest.fixture(params=["blocking", "aio"])
def face(request: pytest.FixtureRequest, server: Server) -> Iterator[Face]:
    face = Face(request.param, server)
    yield face
    face.close()


def test_each_attempt_goes_through_all_of_them(face: Face, server: Server) -> None:
    seen: list[Any] = []

    def before_sign(request: Request) -> None:
        seen.append("before_sign")
        assert "Authorization" not in request.headers
        request.headers["X-Signed"] = str(len(seen))

    def before_send(request: Request) -> None:
        seen.append("before_send")
        assert "x-signed" in request.headers["Authorization"]
        request.headers["X-Unsigned"] = str(len(seen))

    def after_response(response: Response) -> None:
        seen.append(response.status)

    hooks = {"before_sign": before_sign, "before_send": before_send, "after_response": after_response}
    assert face.call(f"hooked-{face.kind}", **hooks)["RetryAttempts"] == 1
    assert seen == ["before_sign", "before_send", 500, "before_sign", "before_send", 200]
    told = [(request.headers["X-Signed"], request.headers["X-Unsigned"]) for request in server.requests]
    assert told == [("1", "2"), ("4", "5")]


@pytest.mark.parametrize("name", HOOKS)
def test_what_a_hook_raises_ends_the_call(name: str, face: Face, server: Server) -> None:
    def refuse(_: object) -> None:
        raise LookupError(name)

    stream = f"refused-{name}-{face.kind}"
    for _ in range(4):  # one more than connections are allowed: each was given back
        with pytest.raises(LookupError, match=name):
            face.call(stream, **{name: refuse})
    assert len(server.requests) == (4 if name == "after_response" else 0)


def test_a_failure_that_a_hook_tells_is_retried_like_one_of_the_service(face: Face, server: Server) -> None:
    """A body is read afterwards, so a response that the caller does not want can be refused by its head."""

    def unwanted(response: Response) -> None:
        raise TransportError(f"not from {response.url}", retryable=len(server.requests) < 2)

    with pytest.raises(TransportError, match="not from") as caught:
        face.call(f"unwanted-{face.kind}", after_response=unwanted)
    assert len(server.requests) == 2 and not isinstance(caught.value, ServiceError)

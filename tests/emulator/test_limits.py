"""Five calls a second, three connections."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from kvsfast.emulator import Emulator, ManualClock
from kvsfast.emulator.limits import StreamLimits
from kvsfast.emulator.refusal import Refusal
from tests.emulator import mkv
from tests.emulator.conftest import Sdk

MakeSdk = Callable[..., Sdk]


def code_of(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientError) as refused:
        call()
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_five_calls_a_second() -> None:
    clock = ManualClock()
    one = StreamLimits("GetMedia", "s", clock)
    for _ in range(5):
        one.count_call()
        clock.advance(0.1)
    for _ in range(3):
        with pytest.raises(Refusal, match="ClientLimitExceededException: Rate exceeded"):
            one.count_call()
    clock.advance(0.55)  # one of the five is older than a second
    one.count_call()
    with pytest.raises(Refusal):
        one.count_call()


def test_the_sixth_call_is_refused_on_the_wire(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1), "t": mkv.clip(1)}) as service:
        client = sdk(service)
        for call in (lambda: client.read("s"), lambda: client.endpoint("s")):
            outcomes: list[object] = []
            started = time.monotonic()
            for _ in range(6):
                try:
                    outcomes.append(call() and None)
                except ClientError as error:
                    outcomes.append(error.response["Error"]["Code"])
            if time.monotonic() - started < 1:  # on a very slow machine there is nothing to see
                assert outcomes == [None] * 5 + ["ClientLimitExceededException"]
        assert client.read("t")


def test_three_connections_and_their_slots(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(2), "t": mkv.clip(2)}, loop=True) as service:
        client = sdk(service)
        with contextlib.ExitStack() as stack:
            bodies = [stack.enter_context(contextlib.closing(client.open("s"))) for _ in range(3)]
            assert all(body.read(100) for body in bodies)
            assert code_of(lambda: client.open("s")) == (400, "ConnectionLimitExceededException")
            stack.enter_context(contextlib.closing(client.open("t")))
            # A response that nobody reads holds its slot; a closed connection gives it back.
            bodies[0].close()
            for _ in range(100):
                time.sleep(0.25)
                with contextlib.suppress(ClientError):
                    stack.enter_context(contextlib.closing(client.open("s")))
                    break
            else:
                pytest.fail("the slot of a closed connection was never free again")


def test_a_response_that_ended_gives_its_slot_back(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}) as service:
        clients = [sdk(service) for _ in range(4)]  # a connection each, kept open
        for client in clients:
            assert client.read("s")


def test_without_limits(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}, loop=True, limits=False) as service:
        client = sdk(service)
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(contextlib.closing(client.open("s")))

"""A child of a fork: locks that work, connections of its own, and none of its parent's."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest
from botocore.config import Config

from kvsfast import Client, StartSelector, UsageError
from kvsfast.emulator import Emulator
from kvsfast.forking import generation, survive_fork
from tests.test_client import MEDIA, NO_WAIT, client_of
from tests.wire import HANG

START = StartSelector.earliest()

pytestmark = [
    pytest.mark.usefixtures("no_environment"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    # What Python says since 3.12 of every fork while threads run; that it works is what is shown here.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def in_child(check: Callable[[], None]) -> None:
    """Run ``check`` in a forked child; what fails there fails here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            watchdog = threading.Timer(HANG, os._exit, (2,))
            watchdog.daemon = True
            watchdog.start()
            check()
            code = 0
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        message = told.read().decode()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, message


def test_what_is_registered_is_told_as_long_as_it_lives() -> None:
    class Thing:
        forks = 0

        def after_fork(self) -> None:
            self.forks += 1

    thing, here = Thing(), generation()
    survive_fork(thing)

    def check() -> None:
        assert thing.forks == 1 and generation() == here + 1

    in_child(check)
    assert thing.forks == 0 and generation() == here


def test_a_client_made_before_the_fork_serves_the_child() -> None:
    """Also while another thread of the parent holds every lock that there is to hold."""
    with Emulator({"door": MEDIA}, limits=False) as service:
        client = client_of(service)
        client.get_data_endpoint("door")
        environment, transport, endpoints = client._environment, client._transport, client.opener.endpoints

        def check() -> None:
            for _ in range(2):
                with client.get_media("door", START) as media:
                    assert len(list(media.fragments())) == 4

        with environment._lock, transport._context_lock, transport._idle._lock, endpoints._lock:
            in_child(check)
        with client.get_media("door", START) as media:
            assert len(list(media.fragments())) == 4


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_a_stream_belongs_to_the_process_that_opened_it(tls: bool) -> None:
    with Emulator({"door": MEDIA}, tls=tls) as service:
        client: Client = client_of(service)
        with client.get_media("door", START) as media:
            fragments = media.fragments()
            first = next(fragments)

            def check() -> None:
                with pytest.raises(UsageError, match="the process that opened it"):
                    list(fragments)
                media.close()  # of the child's descriptor: the connection goes on

            in_child(check)
            numbers = [first.number, *(each.number for each in fragments)]
        with client.get_media("door", START) as media:
            assert [each.number for each in media.fragments()] == numbers


def test_a_kept_connection_is_not_used_by_two_processes() -> None:
    with Emulator({"door": MEDIA}, limits=False) as service:
        client = client_of(service, config=Config(proxies={}), retry=NO_WAIT)
        service.fail_next("door", "InvalidArgumentException", times=2)
        with pytest.raises(Exception, match="injected"):
            client.get_media("door", START)
        assert len(client._transport._idle._lines) == 1

        def check() -> None:
            assert not client._transport._idle._lines

        in_child(check)
        with pytest.raises(Exception, match="injected"):
            client.get_media("door", START)
        with client.get_media("door", START) as media:
            assert media.response_metadata["Timings"]["connect"] == 0  # the parent's was still good

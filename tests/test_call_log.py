"""What is logged of a call, and what never is."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from botocore.config import Config

from kvsfast import Client, LogMode, StandardRetry, StartSelector
from kvsfast.call_log import told, without_secrets
from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP

START = StartSelector.earliest()
TOKEN = "session-token-that-nobody-may-read"

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator({"door": CLIP}, limits=False) as service:
        yield service


def logged(service: Emulator, mode: LogMode, caplog: pytest.LogCaptureFixture, *, fail: bool = False) -> str:
    """What our loggers say of one call at level DEBUG."""
    client = Client(
        **service.client_options(),
        aws_session_token=TOKEN,
        config=Config(proxies={}),
        retry=StandardRetry(base=0),
    )
    client.get_data_endpoint("door")
    if fail:
        service.fail_next("door", "ServiceUnavailable")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="kvsfast"):
        client.get_media("door", START, log=mode).close()
    text = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("kvsfast")
        and record.levelno == logging.DEBUG
        and "emulator" not in record.name
    )
    secret = service.credentials.secret_key
    assert secret not in caplog.text and TOKEN not in caplog.text and "Signature=" not in caplog.text
    assert "StartSelectorType" not in text  # never a body
    return text


def test_nothing_without_a_mode(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    assert logged(service, LogMode.NONE, caplog, fail=True) == ""


def test_signing(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    text = logged(service, LogMode.SIGNING, caplog)
    assert f"/{service.region}/kinesisvideo/aws4_request" in text
    assert "content-type;host;x-amz-date;x-amz-security-token" in text and text.count("\n") == 0


def test_requests_and_responses(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    text = logged(service, LogMode.REQUEST, caplog)
    assert text.startswith(f"POST {service.media_endpoint_url}/getMedia with")
    assert "'X-Amz-Security-Token': '(hidden)'" in text and "'Authorization': '(hidden)'" in text
    assert "\n" not in text
    text = logged(service, LogMode.RESPONSE, caplog)
    assert text.startswith("200 OK from") and "x-amzn-requestid" in text and "\n" not in text


def test_retries(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    text = logged(service, LogMode.RETRIES, caplog, fail=True)
    assert "GetMedia door" in text and "ServiceUnavailable" in text
    assert logged(service, LogMode.RETRIES, caplog) == ""


def test_all_of_it(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    lines = logged(service, LogMode.ALL, caplog, fail=True).splitlines()
    assert [line.split()[0] for line in lines] == [
        "signed",
        "POST",
        "503",
        "GetMedia",
        "signed",
        "POST",
        "200",
    ]


def test_redaction() -> None:
    headers = {"AUTHORIZATION": "a", "x-Amz-Security-Token": "b", "Proxy-Authorization": "c", "Host": "d"}
    assert list(told(headers).values()) == ["(hidden)"] * 3 + ["d"]
    assert without_secrets("https://name:password@host:1/path?x=1") == "https://host:1/path?x=1"

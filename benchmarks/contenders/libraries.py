"""Clients that others wrote, reading and throwing away: none of them looks into the media."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.contenders.meter import Meter
from benchmarks.job import Job, Outcome, Server
from benchmarks.request import IDLE_TIMEOUT, signed

__all__ = [
    "START",
    "aiobotocore_read",
    "boto3_body",
    "boto3_iter_chunks",
    "boto3_iterate",
    "boto3_read",
    "client_options",
    "httpx_stream",
    "pycurl_discard",
]

START = {"StartSelectorType": "EARLIEST"}


def boto3_body(server: Server) -> Any:
    """The ``Payload`` of a GetMedia call."""
    import boto3

    client = boto3.client("kinesis-video-media", **client_options(server))
    return client.get_media(StreamName=server.stream, StartSelector=START)["Payload"]  # type: ignore[arg-type]


def client_options(server: Server) -> dict[str, Any]:
    return {
        "region_name": server.region,
        "endpoint_url": server.media_endpoint_url,
        "verify": server.ca,
        "aws_access_key_id": server.access_key,
        "aws_secret_access_key": server.secret_key,
    }


def boto3_read(job: Job) -> Outcome:
    meter = Meter()
    body = boto3_body(job.server)
    left = job.media_bytes
    with meter:
        left -= len(body.read(65_536))
        meter.first()
        while left > 0:
            left -= len(body.read(min(left, 65_536)))
    body.close()
    return meter.outcome(job.media_bytes - left)


def boto3_iter_chunks(job: Job) -> Outcome:
    return _iterate(job, lambda body: body.iter_chunks(65_536))


def boto3_iterate(job: Job) -> Outcome:
    """What ``for piece in body`` does: 1 KiB at a time."""
    return _iterate(job, iter)


def _iterate(job: Job, iterate: Callable[[Any], Iterator[bytes]]) -> Outcome:
    meter = Meter()
    body = boto3_body(job.server)
    read = 0
    with meter:
        for piece in iterate(body):
            if not read:
                meter.first()
            read += len(piece)
            if read >= job.media_bytes:
                break
    body.close()
    return meter.outcome(read)


def aiobotocore_read(job: Job) -> Outcome:
    import asyncio

    from aiobotocore.session import get_session

    async def read() -> Outcome:
        options = client_options(job.server)
        async with get_session().create_client("kinesis-video-media", **options) as client:
            meter = Meter()
            answer = await client.get_media(StreamName=job.server.stream, StartSelector=START)
            body, left = answer["Payload"], job.media_bytes
            with meter:
                while left > 0:
                    left -= len(await body.read(min(left, 65_536)))
                    if not meter.has_first:
                        meter.first()
            body.close()
            return meter.outcome(job.media_bytes - left)

    return asyncio.run(read())


def httpx_stream(job: Job) -> Outcome:
    import ssl

    import httpx

    url, headers, content = signed(job.server)
    context = ssl.create_default_context(cafile=job.server.ca) if job.server.ca else False
    meter = Meter()
    read = 0
    with httpx.Client(verify=context, timeout=IDLE_TIMEOUT) as client:
        with client.stream("POST", url, headers=headers, content=content) as answer:
            answer.raise_for_status()
            with meter:
                for piece in answer.iter_raw(65_536):
                    if not read:
                        meter.first()
                    read += len(piece)
                    if read >= job.media_bytes:
                        break
    return meter.outcome(read)


def pycurl_discard(job: Job) -> Outcome:
    """libcurl's own loop. It writes to stdout, which is /dev/null meanwhile, so that no Python runs per HTTP
    chunk; the progress function, once per receive, ends it. What comes before the first byte is measured as
    well."""
    import pycurl

    url, headers, body = signed(job.server)
    read_bytes = 0

    def progress(_total: int, received: int, *_upload: int) -> int:
        nonlocal read_bytes
        if received and not read_bytes:
            meter.first()
        read_bytes = received
        return received >= job.media_bytes

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.HTTPHEADER, [*(f"{name}: {value}" for name, value in headers.items()), "Expect:"])
    curl.setopt(pycurl.POSTFIELDS, body)
    curl.setopt(pycurl.BUFFERSIZE, 65_536)
    curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
    curl.setopt(pycurl.LOW_SPEED_TIME, int(IDLE_TIMEOUT))
    curl.setopt(pycurl.NOPROGRESS, 0)
    curl.setopt(pycurl.XFERINFOFUNCTION, progress)
    if job.server.ca is not None:
        curl.setopt(pycurl.CAINFO, job.server.ca)
    sys.stdout.flush()
    stdout = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    meter = Meter()
    try:
        with meter:
            try:
                curl.perform()
            except pycurl.error as error:
                if error.args[0] != pycurl.E_ABORTED_BY_CALLBACK:
                    raise
    finally:
        os.dup2(stdout, 1)
        curl.close()
    return meter.outcome(read_bytes)

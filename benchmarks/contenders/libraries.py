"""Clients that others wrote, reading and throwing away: none of them looks into the media."""

from __future__ import annotations

import os
import sys

from benchmarks.contenders.meter import Meter
from benchmarks.job import Job, Outcome
from benchmarks.request import IDLE_TIMEOUT, signed

__all__ = ["boto3_read", "pycurl_discard"]


def boto3_read(job: Job) -> Outcome:
    import boto3

    server = job.server
    client = boto3.client(
        "kinesis-video-media",
        region_name=server.region,
        endpoint_url=server.media_endpoint_url,
        verify=server.ca,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )
    meter = Meter()
    start = {"StartSelectorType": "EARLIEST"}
    body = client.get_media(StreamName=server.stream, StartSelector=start)["Payload"]  # type: ignore[arg-type]
    left = job.media_bytes
    with meter:
        left -= len(body.read(65_536))
        meter.first()
        while left > 0:
            left -= len(body.read(min(left, 65_536)))
    body.close()
    return meter.outcome(job.media_bytes - left)


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

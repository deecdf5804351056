"""Fixtures of more than one test module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.moto_server import moto_server


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """A local DynamoDB, empty at first and shared by all tests: each takes tables of its own."""
    with moto_server() as url:
        yield url


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that botocore or a proxy reads from whoever runs the tests. Files ``config`` and
    ``credentials`` may be made in ``tmp_path``."""
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith("_proxy") or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

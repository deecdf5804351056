"""Every Python example of README and docs runs, against the local service and the shipped clip."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def examples() -> Iterator[tuple[Path, int, str]]:
    """Page, line of the first line, and source."""
    for page in PAGES:
        text = page.read_text()
        for block in FENCE.finditer(text):
            yield page, text.count("\n", 0, block.start()) + 2, block[1]


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """What the examples call front-door."""
    with Emulator({"front-door": CLIP}, region="eu-west-1", limits=False) as service:
        yield service


@pytest.fixture
def surroundings(
    no_environment: None, service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where examples run: a directory with a recording, and an environment that leads to the service."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS_VIDEO", service.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", service.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", service.credentials.secret_key)
    monkeypatch.chdir(tmp_path)
    shutil.copy(CLIP, "recording.mkv")


@pytest.mark.parametrize(
    ("page", "line", "source"), EXAMPLES, ids=[f"{page.name}:{line}" for page, line, _ in EXAMPLES]
)
@pytest.mark.usefixtures("surroundings")
def test_example(
    page: Path, line: int, source: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "DynamoCheckpoints(" in source:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue("dynamodb_url"))
    # Lines are counted as in the page, for tracebacks.
    exec(compile("\n" * (line - 1) + source, str(page), "exec"), {"__name__": "__example__"})


def test_there_are_examples() -> None:
    assert {page.name for page, _, _ in EXAMPLES} >= {"README.md", "guide.md", "emulator.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"

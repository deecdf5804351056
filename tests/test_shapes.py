"""Our TypedDicts have the members of botocore's shapes, and code written for boto3 works with them."""

from __future__ import annotations

import typing
from typing import Any, Literal, assert_type

import botocore.session
import pytest
from botocore.config import Config

import kvsfast
from kvsfast import (
    GetMediaInput,
    GetMediaOutput,
    MediaStream,
    StartSelectorShape,
    StartSelectorType,
)
from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.Session().get_service_model("kinesis-video-media")


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (GetMediaInput, "GetMediaInput"),
        (GetMediaOutput, "GetMediaOutput"),
        (StartSelectorShape, "StartSelector"),
    ],
)
def test_members_are_botocores(ours: Any, name: str, model: Any) -> None:
    shape = model.shape_for(name)
    # ResponseMetadata is added by botocore to every response.
    assert set(ours.__annotations__) - {"ResponseMetadata"} == set(shape.members)
    if name != "GetMediaOutput":
        assert ours.__required_keys__ == set(shape.required_members)


def test_selector_types_are_botocores(model: Any) -> None:
    expected = set(model.shape_for("StartSelectorType").enum)
    assert {str(each) for each in StartSelectorType} == expected
    hints = typing.get_type_hints(StartSelectorShape)
    assert set(typing.get_args(hints["StartSelectorType"])) == expected


def test_service_identity(model: Any) -> None:
    assert model.service_id == kvsfast.SERVICE_ID
    assert model.api_version == kvsfast.SERVICE_API_VERSION


def test_errors_are_botocores(model: Any) -> None:
    """Each modelled error of the operation is a class of ours, by its name."""
    for shape in model.operation_model("GetMedia").error_shapes:
        cls = getattr(kvsfast, shape.name)
        assert issubclass(cls, kvsfast.ServiceError)


def test_request_and_response_in_botocores_shapes() -> None:
    request: GetMediaInput = {"StreamName": "door", "StartSelector": {"StartSelectorType": "EARLIEST"}}
    with Emulator({"door": CLIP}) as service:
        client = kvsfast.Client(config=Config(proxies={}), **service.client_options())
        response = client.get_media(**request).output
        with response["Payload"] as payload:
            content = b"".join(payload.iter_chunks(1000))
        assert response["ContentType"] == "video/webm"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
        with client.get_media("door", kvsfast.StartSelector.earliest()) as media:
            assert media.read(100) == content[:100]


def test_what_a_type_checker_sees() -> None:
    """mypy goes through this file: it must infer what is asserted, and refuse what is marked, for a mark that
    is not needed is an error of its own."""
    complete: StartSelectorShape = {"StartSelectorType": "EARLIEST"}
    no_type: StartSelectorShape = {"AfterFragmentNumber": "7"}  # type: ignore[typeddict-item]
    unknown: StartSelectorShape = {"StartSelectorType": "SOON"}  # type: ignore[typeddict-item]
    no_start: GetMediaInput = {"StreamName": "door"}  # type: ignore[typeddict-item]
    for wrong in (no_type, unknown, no_start["StreamName"]):
        with pytest.raises(kvsfast.UsageError):
            kvsfast.StartSelector.of(wrong)  # type: ignore[arg-type]
    assert kvsfast.StartSelector.of(complete) == kvsfast.StartSelector.earliest()

    def of_a_response(response: GetMediaOutput, client: kvsfast.Client) -> None:
        assert_type(response["ContentType"], str)
        assert_type(response["Payload"], MediaStream)
        assert_type(response["ResponseMetadata"], dict[str, Any])
        assert_type(client.get_media("door", complete), MediaStream)
        assert_type(client.get_media("door", complete).output, GetMediaOutput)
        client.with_options(idle_timeout="soon")  # type: ignore[arg-type]
        client.get_media("door", complete, nonsense=1)  # type: ignore[call-arg]

    assert callable(of_a_response)
    kind: Literal["EARLIEST"] = "EARLIEST"
    assert complete["StartSelectorType"] == kind

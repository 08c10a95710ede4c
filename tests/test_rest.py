"""What holds for every route of the HTTP API: refusals are JSON, a failure leaks nothing, the OpenAPI is true."""

import logging

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from rest_calls import KEY, RestCalls
from test_rest_tunes import FORM, refused

from faceid.errors import StorageFull
from faceid.web.rest import ROOTS

BOUNDED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def calls(make_studio):
    return RestCalls(make_studio())


def failing(calls, error: Exception) -> RestCalls:
    """The same, where every look at tunes raises `error`."""

    class Failing(type(calls.studio)):
        def list_tunes(self, *_, **filters):
            raise error

        get_tune = list_tunes

    calls.studio.__class__ = Failing
    return calls


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tunes/1/2/3", 404), ("/prompts/1/images", 404), ("/photos/x", 404), ("/pictures/a/b", 404)],
)
def test_an_unknown_route_is_json_too(calls, path, status):
    for method in ("GET", "POST", "DELETE"):
        refused(calls.client.request(method, path), status)


def test_another_method_says_which_there_are(calls):
    answer = calls.client.put("/tunes", json={})
    refused(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    assert calls.client.put("/tunes/1").headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"tune": {"title": NaN}}', "application/json", 400),
        (b'{"tune": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}", "application/json", 413),
        (b"title=x", "text/plain", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b"anything", "multipart/form-data", 400),
        (b"tune=1&tune[title]=2", "application/x-www-form-urlencoded", 422),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(calls, body, kind, status):
    answer = calls.client.post("/tunes", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["message"]


def test_who_calls_is_asked_before_the_body_is_read(calls):
    refused(calls.connect().post("/tunes", content=b"{", headers={"Content-Type": "application/json"}), 401)


def test_a_body_that_is_announced_as_too_large_is_not_read(calls):
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(10**12)}
    refused(calls.client.post("/tunes", content=b"", headers=headers), 413)


def test_an_error_nobody_foresaw_leaks_nothing_not_even_to_the_log(calls, caplog):
    with caplog.at_level(logging.ERROR, "faceid.web.rest_errors"):
        answer = failing(calls, RuntimeError("a secret prompt")).client.get("/tunes?title=a+secret+title")
    refused(answer, 500)
    assert "secret" not in answer.text
    assert "secret" not in caplog.text
    assert "GET /tunes failed: RuntimeError" in caplog.text


def test_the_log_of_an_error_names_the_route_not_the_path(calls, caplog):
    refused(failing(calls, RuntimeError()).client.get("/tunes/135297048731921.json"), 500)
    assert "GET /tunes/{tune_id} failed: RuntimeError" in caplog.text


def test_a_full_disk_is_507(calls):
    refused(failing(calls, StorageFull("The disk is full.")).client.get("/tunes"), 507)


def test_no_route_of_the_page_is_taken(calls):
    assert "/" not in ROOTS
    assert calls.client.get("/").status_code == 404
    assert calls.client.get("/config").status_code == 404


def test_the_openapi_describes_every_route_with_examples(calls):
    described = calls.connect().get("/openapi.json").json()
    operations = {
        (method.upper(), path): operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
    }
    assert {f"{method} {path}" for method, path in operations} == {
        "POST /tunes",
        "GET /tunes",
        "GET /tunes/{tune_id}",
        "PATCH /tunes/{tune_id}",
        "DELETE /tunes/{tune_id}",
        "POST /tunes/{tune_id}/prompts",
        "GET /tunes/{tune_id}/prompts",
        "GET /tunes/{tune_id}/prompts/{prompt_id}",
        "DELETE /tunes/{tune_id}/prompts/{prompt_id}",
        "GET /prompts",
        "GET /prompts/{prompt_id}",
        "DELETE /prompts/{prompt_id}",
        "GET /photos/{tune_id}/{position}/{token}",
        "GET /pictures/{name}",
    }
    for (method, path), operation in operations.items():
        assert operation["description"], path
        if path.startswith(("/tunes", "/prompts")):
            assert {"401", "404"} <= set(operation["responses"]), path
        if method == "PATCH":
            example = operation["requestBody"]["content"]["application/json"]["example"]
            assert set(example["tune"]) == {"title", "name"}  # nothing that cannot be changed
        if method == "POST":
            content = operation["requestBody"]["content"]
            assert content["application/json"]["example"]
            form = content["multipart/form-data"]["schema"]["properties"]
            assert {"tune[images][]", "tune[prompts_attributes][][text]"} <= set(form) or "prompt[input_image]" in form
    assert "#/components/schemas/HTTPValidationError" not in str(described)


@pytest.fixture
def drawing_nothing(make_studio):
    """The API on `fast`, where a prompt is drawn at once, without pictures, and URLs lead nowhere."""
    calls = RestCalls(make_studio(paint=lambda request: iter(())), admitted=(KEY,))
    calls.client.post("/tunes", data=FORM)
    return calls


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_schemathesis_finds_no_contradiction(drawing_nothing, mode):
    import schemathesis  # here: that takes seconds, which only the process that runs this has to spend
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    mode = schemathesis.GenerationMode(mode)
    held = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_asgi("/openapi.json", drawing_nothing.app)
    answered, checked = set(), 0

    for operation in (found.ok() for found in schema.get_all_operations()):

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case):
            response = case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, checks=held)
            answered.add(response.status_code)

        try:
            check()
            checked += 1
        except Unsatisfiable:  # there is nothing that such a call could get wrong: any text may be a picture's name
            assert mode.is_negative
    assert checked >= 12
    assert {404, 422} <= answered
    assert mode.is_negative or 401 not in answered

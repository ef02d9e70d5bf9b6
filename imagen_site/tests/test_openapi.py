from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from drf_spectacular.validation import validate_schema

from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from jobs.operations import Operation

EVERYBODY = {"apiKeyBearer", "apiKeyHeader", "session"}


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    answer = client.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation for methods in schema["paths"].values() for operation in methods.values()
    }


class TestTheSchema:
    def test_is_valid_openapi_3_1(self, schema: dict[str, Any]) -> None:
        validate_schema(schema)

        assert schema["openapi"].startswith("3.1.")

    def test_is_made_without_a_warning(self, tmp_path: Path) -> None:
        call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yaml"))

    def test_has_every_endpoint(self, schema: dict[str, Any]) -> None:
        paths = {(method, path) for path, methods in schema["paths"].items() for method in methods}

        assert paths == {
            ("get", "/api/v1/account"),
            ("get", "/api/v1/jobs"),
            ("post", "/api/v1/uploads"),
            ("get", "/api/v1/jobs/{job_id}"),
            ("post", "/api/v1/jobs/{job_id}/cancel"),
            *(("post", f"/api/v1/images/{operation.path}") for operation in OPERATIONS.values()),
        }

    @pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
    def test_has_the_limits_and_defaults_of_every_parameter(self, schema: dict[str, Any], operation: Operation) -> None:
        documented = operations_of(schema)[f"submit_{operation.name}"]

        form = documented["requestBody"]["content"]["multipart/form-data"]["schema"]

        photo = form["properties"].pop("image")
        assert (photo["type"], photo["format"]) == ("string", "binary")
        assert form == {**operation.schema(), "required": ["image"]}
        named = documented["requestBody"]["content"]["application/json"]["schema"]
        assert named["properties"].pop("image_url")["format"] == "uri"
        assert named["properties"].pop("upload_id")["format"] == "uuid"
        assert named.pop("oneOf") == [{"required": ["image_url"]}, {"required": ["upload_id"]}]
        assert named == operation.schema()
        assert documented["summary"] == operation.title

    def test_says_how_to_make_a_request_that_may_be_repeated(self, schema: dict[str, Any]) -> None:
        for operation in OPERATIONS.values():
            (parameter,) = operations_of(schema)[f"submit_{operation.name}"]["parameters"]

            assert (parameter["in"], parameter["name"]) == ("header", "Idempotency-Key")
            assert not parameter.get("required")

    def test_names_the_filters_and_limits_of_the_list(self, schema: dict[str, Any]) -> None:
        parameters = {each["name"]: each for each in operations_of(schema)["list_jobs"]["parameters"]}

        assert parameters.keys() == {
            "status",
            "operation",
            "created_after",
            "created_before",
            "parent",
            "cursor",
            "limit",
        }
        assert not any(each.get("required") for each in parameters.values())
        assert (parameters["limit"]["schema"]["minimum"], parameters["limit"]["schema"]["default"]) == (1, 20)

    def test_lets_in_keys_and_sessions_everywhere(self, schema: dict[str, Any]) -> None:
        assert schema["components"]["securitySchemes"].keys() == EVERYBODY
        for operation in operations_of(schema).values():
            assert {name for way in operation["security"] for name in way} == EVERYBODY

    def test_shows_one_shape_of_a_job_and_one_of_a_problem(self, schema: dict[str, Any]) -> None:
        for name, operation in operations_of(schema).items():
            for status, answer in operation["responses"].items():
                for kind, content in answer["content"].items():
                    shape = content["schema"]["$ref"].rpartition("/")[2]
                    if int(status) >= 400:
                        assert (kind, shape) == ("application/problem+json", "ProblemOut")
                    else:
                        assert shape == {"list_jobs": "JobList", "account": "Account", "open_upload": "Upload"}.get(
                            name, "JobOut"
                        )

    def test_is_open_to_everybody(self, client: Client) -> None:
        assert client.get("/api/v1/openapi.json").status_code == 200


class _Page(HTMLParser):
    """Notes the scripts, styles and event attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.sources: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        # A link loads nothing.
        self.sources += [str(given[name]) for name in ("src", "href") if name in given and tag != "a"]
        self._open = tag if tag == "script" and "src" not in given else ""

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.inline.append(data)


class TestTheDocs:
    def test_run_no_script_but_files_of_our_own(self, client: Client) -> None:
        answer = client.get("/api/v1/docs")

        page = _Page(answer.content.decode())
        assert answer.status_code == 200
        assert page.inline == []
        assert len(page.sources) >= 4
        assert [source for source in page.sources if not source.startswith(("/static/", "/api/v1/docs"))] == []

    def test_allow_scripts_from_this_site_alone(self, client: Client) -> None:
        policy = client.get("/api/v1/docs")["Content-Security-Policy"]

        (scripts,) = re.findall(r"script-src ([^;]+)", policy)
        assert scripts == "'self'"

    def test_load_a_script_that_reads_our_schema(self, client: Client) -> None:
        page = _Page(client.get("/api/v1/docs").content.decode())
        (address,) = (source for source in page.sources if source.startswith("/api/v1/docs"))

        script = client.get(address)

        assert script["Content-Type"].startswith("application/javascript")
        assert "/api/v1/openapi.json" in script.content.decode()

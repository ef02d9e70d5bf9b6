"""
Custom resources fit the documentation of their kinds.

Their makers publish no schemas that a machine without a cluster could ask, so schemas/ has ours: the fields that we
could use, and no others, so that a slip of the pen is found here and not ignored there.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.manifests.rendering import K8S, build_with, built_in, components, find, rendered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (K8S.parent / "tests/manifests/schemas").glob("*.json")}


def complaints(manifest: Manifest) -> list[str]:
    schema = SCHEMAS.get(manifest["kind"])
    if schema is None:
        return [f"{manifest['kind']}: there is no schema of it in tests/manifests/schemas"]
    return [
        f"{manifest['kind']}/{manifest['metadata']['name']}{error.json_path.removeprefix('$')}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(manifest)
    ]


def of_all(manifests: list[Manifest]) -> list[str]:
    return [sentence for each in manifests if not built_in(each) for sentence in complaints(each)]


def objects_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects_in(part)


class TestEveryCustomResource:
    def test_is_as_documented(self, manifests: list[Manifest]) -> None:
        assert of_all(manifests) == []

    @pytest.mark.parametrize("component", components(), ids=lambda path: str(path.relative_to(K8S)))
    def test_of_a_component_is_as_documented(self, component: Path) -> None:
        assert of_all(build_with(component)) == []


class TestASchema:
    @pytest.mark.parametrize("kind", SCHEMAS)
    def test_is_one(self, kind: str) -> None:
        Draft202012Validator.check_schema(SCHEMAS[kind])

    @pytest.mark.parametrize("kind", SCHEMAS)
    def test_takes_no_field_that_it_does_not_name(self, kind: str) -> None:
        assert [each for each in objects_in(SCHEMAS[kind]) if each.get("additionalProperties") is not False] == []

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            (("spec", "priority"), [], "'priority' was unexpected"),
            (("spec", "priorities", 0, "gpu", "kind"), "nvidia-l4", "'kind' was unexpected"),
            (("spec", "priorities", 0, "spot"), "true", "'true' is not of type 'boolean'"),
            (("spec", "whenUnsatisfiable"), "Wait", "'Wait' is not one of"),
            (("metadata", "namespace"), "imagen", "'namespace' was unexpected"),
        ],
    )
    def test_finds_a_slip_of_the_pen(self, path: tuple[Any, ...], value: object, said: str) -> None:
        broken = copy.deepcopy(find(rendered("prod"), "ComputeClass", "triton"))
        place = broken
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

        assert said in " ".join(complaints(broken))

    def test_is_missed_for_a_kind_that_nobody_described(self) -> None:
        assert complaints({"kind": "Gateway", "metadata": {"name": "it"}}) == [
            "Gateway: there is no schema of it in tests/manifests/schemas"
        ]

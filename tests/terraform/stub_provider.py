"""
Terraform's google provider as far as a machine without a cloud needs it: it knows its schema, and can do nothing.

Run with the interpreter of .venv-deployment, as `stub_provider.py --dev`: it then prints the TF_REATTACH_PROVIDERS by
which terraform finds it, and serves until it is ended. STUB_SCHEMA is the file that google_schema.py has written.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import tf.provider
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import run_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "registry.terraform.io/hashicorp/google"
# Otherwise terraform asks for the whole schema again with every resource, and reads it anew.
_ASKED_ONCE = pb.ServerCapabilities(get_provider_schema_optional=True)
_NESTING = pb.Schema.NestedBlock.NestingMode
# Terraform's protocol has a flag for what is written and never kept in a state. It is younger than this library, so it
# is said by its number (11) and its value (true).
_WRITE_ONLY = b"\x58\x01"


def _block(block: dict[str, Any]) -> pb.Schema.Block:
    return pb.Schema.Block(
        attributes=[_attribute(name, attribute) for name, attribute in block["attributes"].items()],
        block_types=[_nested(name, nested) for name, nested in block["block_types"].items()],
    )


def _attribute(name: str, attribute: dict[str, Any]) -> pb.Schema.Attribute:
    flags = {flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")}
    described = pb.Schema.Attribute(name=name, type=json.dumps(attribute["type"]).encode(), **flags)
    if name.endswith("_wo"):
        described.MergeFromString(_WRITE_ONLY)
    return described


def _nested(name: str, nested: dict[str, Any]) -> pb.Schema.NestedBlock:
    return pb.Schema.NestedBlock(
        type_name=name,
        block=_block(nested["block"]),
        nesting=_NESTING.Value(nested["nesting_mode"].upper()),
        min_items=nested.get("min_items", 0),
        max_items=nested.get("max_items", 0),
    )


def _schema(block: dict[str, Any]) -> pb.Schema:
    return pb.Schema(version=0, block=_block(block))


def _answers_given(block: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    """Yield the attributes that a configuration sets although only the provider may."""
    for name, attribute in block["attributes"].items():
        settable = attribute.get("required") or attribute.get("optional")
        if not settable and values.get(name) is not None:
            yield name
    for name, nested in block["block_types"].items():
        for inner in _blocks_inside(values.get(name)):
            yield from _answers_given(nested["block"], inner)


def _blocks_inside(value: Any) -> list[dict[str, Any]]:
    if not value:
        return []
    if isinstance(value, dict):
        return [value]
    # Of a type that differs from block to block, the type is sent before them.
    return _blocks_inside(value[1]) if isinstance(value[0], bytes) else list(value)


class SchemaOnly(rpc.ProviderServicer):
    """Answers what `validate` and `test` with a mocked provider ask. Anything else is not implemented."""

    def __init__(self, _provider: object) -> None:
        self._blocks = json.loads(Path(os.environ["STUB_SCHEMA"]).read_text())

    @cached_property
    def _whole(self) -> pb.GetProviderSchema.Response:
        return pb.GetProviderSchema.Response(
            provider=_schema(self._blocks["provider"]),
            resource_schemas={name: _schema(block) for name, block in self._blocks["resource"].items()},
            provider_meta=pb.Schema(block=pb.Schema.Block()),
            server_capabilities=_ASKED_ONCE,
        )

    # Their names are those of Terraform's protocol.
    def GetMetadata(self, _request: object, _context: object) -> pb.GetMetadata.Response:  # noqa: N802
        return pb.GetMetadata.Response(
            server_capabilities=_ASKED_ONCE,
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._blocks["resource"]],
        )

    def GetProviderSchema(self, _request: object, _context: object) -> pb.GetProviderSchema.Response:  # noqa: N802
        return self._whole

    def ValidateProviderConfig(self, _request: object, _context: object) -> pb.ValidateProviderConfig.Response:  # noqa: N802
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(  # noqa: N802
        self, request: pb.ValidateResourceConfig.Request, _context: object
    ) -> pb.ValidateResourceConfig.Response:
        # Terraform leaves this one check of the schema to the provider.
        values = msgpack.unpackb(request.config.msgpack, ext_hook=lambda _code, _data: None)
        given = _answers_given(self._blocks["resource"][request.type_name], values)
        errors = [
            pb.Diagnostic(
                severity=pb.Diagnostic.ERROR, summary=f"{name} is what the provider answers, not what it is told"
            )
            for name in given
        ]
        return pb.ValidateResourceConfig.Response(diagnostics=errors)

    def ConfigureProvider(self, _request: object, _context: object) -> pb.ConfigureProvider.Response:  # noqa: N802
        return pb.ConfigureProvider.Response()

    def StopProvider(self, _request: object, _context: object) -> pb.StopProvider.Response:  # noqa: N802
        return pb.StopProvider.Response()


class Google:
    """What tf's runner wants to know of a provider."""

    def full_name(self) -> str:
        return NAME


if __name__ == "__main__":
    tf.provider.ProviderServicer = SchemaOnly
    run_provider(Google())

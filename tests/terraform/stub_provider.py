"""
Terraform's google provider as far as a machine without a cloud needs it: it knows its schema, and can do nothing.

Run by terraform, with the interpreter of .venv-deployment. STUB_SCHEMA is the file that google_schema.py has written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import tf.provider
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import run_provider

NAME = "registry.terraform.io/hashicorp/google"
_NESTING = pb.Schema.NestedBlock.NestingMode


def _block(block: dict[str, Any]) -> pb.Schema.Block:
    return pb.Schema.Block(
        attributes=[_attribute(name, attribute) for name, attribute in block["attributes"].items()],
        block_types=[_nested(name, nested) for name, nested in block["block_types"].items()],
    )


def _attribute(name: str, attribute: dict[str, Any]) -> pb.Schema.Attribute:
    flags = {flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")}
    return pb.Schema.Attribute(name=name, type=json.dumps(attribute["type"]).encode(), **flags)


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


class SchemaOnly(rpc.ProviderServicer):
    """Answers what `validate` and `test` with a mocked provider ask. Anything else is not implemented."""

    def __init__(self, _provider: object) -> None:
        self._schema = json.loads(Path(os.environ["STUB_SCHEMA"]).read_text())

    def GetMetadata(self, _request, _context):  # noqa: ANN001, ANN201, N802 - named by Terraform's protocol
        return pb.GetMetadata.Response(
            server_capabilities=pb.ServerCapabilities(get_provider_schema_optional=True),
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._schema["resource"]],
        )

    def GetProviderSchema(self, _request, _context):  # noqa: ANN001, ANN201, N802
        return pb.GetProviderSchema.Response(
            provider=_schema(self._schema["provider"]),
            resource_schemas={name: _schema(block) for name, block in self._schema["resource"].items()},
            provider_meta=pb.Schema(block=pb.Schema.Block()),
        )

    def ValidateProviderConfig(self, _request, _context):  # noqa: ANN001, ANN201, N802
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, _request, _context):  # noqa: ANN001, ANN201, N802
        return pb.ValidateResourceConfig.Response()

    def ConfigureProvider(self, _request, _context):  # noqa: ANN001, ANN201, N802
        return pb.ConfigureProvider.Response()

    def StopProvider(self, _request, _context):  # noqa: ANN001, ANN201, N802
        return pb.StopProvider.Response()


class Google:
    """What tf's runner wants to know of a provider."""

    def full_name(self) -> str:
        return NAME


if __name__ == "__main__":
    tf.provider.ProviderServicer = SchemaOnly
    run_provider(Google())

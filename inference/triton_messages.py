"""
Triton's messages and its gRPC stub as tritonclient generates them, and nothing else of tritonclient.

Its package `grpc` imports a client of its own, and for that numpy, ml_dtypes and rapidjson: 90 MB of an image and a
quarter of a second of every start, for code that we do not call. So while its generated modules are imported an empty
package stands in its place; whoever imports the whole of it later gets the whole of it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import tritonclient

_PACKAGE = "tritonclient.grpc"


def _generated() -> tuple[ModuleType, ModuleType]:
    if _PACKAGE in sys.modules:
        return _imported()
    stand_in = ModuleType(_PACKAGE)
    stand_in.__path__ = [str(Path(folder) / "grpc") for folder in tritonclient.__path__]
    sys.modules[_PACKAGE] = stand_in
    try:
        return _imported()
    finally:
        del sys.modules[_PACKAGE]


def _imported() -> tuple[ModuleType, ModuleType]:
    return importlib.import_module(f"{_PACKAGE}.service_pb2"), importlib.import_module(f"{_PACKAGE}.service_pb2_grpc")


if TYPE_CHECKING:
    from tritonclient.grpc import service_pb2, service_pb2_grpc
else:
    service_pb2, service_pb2_grpc = _generated()

__all__ = ["service_pb2", "service_pb2_grpc"]

"""
What can go wrong in the model server. Codes are stable, texts may change.

ModelError
├── UnreadableImage    unreadable_image    the bytes are no whole image of a format that we read
├── ImageTooLarge      image_too_large     more pixels than may go in or would come out
├── ImageTooSmall      image_too_small     a side is below the smallest that the engines take
├── InvalidParameter   invalid_parameter   a value is of the wrong kind or out of its range
├── UnknownEngine      unknown_engine      no engine of that name belongs to the operation
├── EngineUnavailable  engine_unavailable  its weights are not on the model volume, or are not the right ones
│   └── LibraryMissing engine_unavailable  a library that it computes with is not installed
├── WeightsNotFetched  weights_not_fetched the model volume could not be filled
├── QualityGate        quality_gate        the engine ran, and what it made is not fit to hand out
├── OutOfMemory        out_of_memory       the device has no room, even for the smallest piece of the work
└── Cancelled          cancelled           the caller no longer wants the result
"""

from __future__ import annotations

from typing import ClassVar


class ModelError(Exception):
    """Base of everything the model server raises on purpose; the message is a sentence for the person who asked."""

    code: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnreadableImage(ModelError):
    code = "unreadable_image"


class ImageTooLarge(ModelError):
    code = "image_too_large"


class ImageTooSmall(ModelError):
    code = "image_too_small"


class InvalidParameter(ModelError):
    code = "invalid_parameter"


class UnknownEngine(ModelError):
    code = "unknown_engine"


class EngineUnavailable(ModelError):
    code = "engine_unavailable"


class LibraryMissing(EngineUnavailable):
    """Its weights may be there; the light installation has no torch."""


class WeightsNotFetched(ModelError):
    code = "weights_not_fetched"


class QualityGate(ModelError):
    code = "quality_gate"


class OutOfMemory(ModelError):
    code = "out_of_memory"


class Cancelled(ModelError):
    code = "cancelled"

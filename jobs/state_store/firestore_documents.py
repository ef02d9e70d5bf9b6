"""
States as Firestore documents: `jobs/{job_id}` and `owners/{owner}`, fields as the design names them.

Times are timestamps, of which `expires_at` is what Firestore's own clean-up (TTL) goes by; the preview is bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import Document

from jobs.states import JobState, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

# Those that a person or Firestore itself compares; the ones inside `history` stay text.
_TIMES = ("lease_until", "created_at", "updated_at", "expires_at")
_SCALARS: Mapping[type, str] = {
    bool: "boolean_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
    bytes: "bytes_value",
}


@dataclass(frozen=True)
class DatabaseName:
    """A Firestore database, and the full names of the documents in it."""

    project: str
    database: str = "(default)"

    def __str__(self) -> str:
        return f"projects/{self.project}/databases/{self.database}"

    def job(self, job_id: UUID | str) -> str:
        return f"{self}/documents/jobs/{job_id}"

    def owner(self, owner: str) -> str:
        return f"{self}/documents/owners/{owner}"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What Google's front end sends a call to the right database by: a stream names none in its address."""
        return (("google-cloud-resource-prefix", str(self)), ("x-goog-request-params", f"database={self}"))


def document_of(state: JobState, *, name: str) -> Document:
    values = to_json(state)
    values.update({field: getattr(state, field) for field in _TIMES}, preview=state.preview)
    document = Document(name=name)
    fields = Document.pb(document).fields
    for field, value in values.items():
        _fill(fields[field], value)
    return document


def state_of(document: Document) -> JobState:
    """Return the state of a document; raises KeyError, TypeError or ValueError where it is none of ours."""
    values = {field: _read(value) for field, value in Document.pb(document).fields.items()}
    times = {field: values[field].isoformat() if values[field] else None for field in _TIMES}
    return replace(from_json({**values, **times, "preview": None}), preview=values["preview"])


def _fill(target: Any, value: Any) -> None:  # noqa: ANN401 - a Value of Firestore's protocol, and what JSON may be
    match value:
        case None:
            target.null_value = 0
        case dict():
            # Said even where nothing is in it: an empty one would be no value at all.
            target.map_value.SetInParent()
            for key, each in value.items():
                _fill(target.map_value.fields[key], each)
        case list() | tuple():
            target.array_value.SetInParent()
            for each in value:
                _fill(target.array_value.values.add(), each)
        case datetime():
            target.timestamp_value.FromDatetime(value)
        case _:
            setattr(target, _SCALARS[type(value)], value)


def _read(value: Any) -> Any:  # noqa: ANN401 - as above
    match value.WhichOneof("value_type"):
        case "null_value":
            return None
        case "map_value":
            return {key: _read(each) for key, each in value.map_value.fields.items()}
        case "array_value":
            return [_read(each) for each in value.array_value.values]
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(tzinfo=UTC)
        case kind:
            return getattr(value, kind)

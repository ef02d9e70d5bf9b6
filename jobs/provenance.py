"""
How a result was made: what the model server told of it, in a form that every store holds, and small. Pure: no I/O.

The model server is another program, perhaps a newer one. NaN breaks SQL's JSON, a NUL PostgreSQL's text, a list in a
list Firestore's documents; and a state is sent whole with every change of a job, so nothing in it may grow without end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# What a state says of the engine itself, and what it says of one run of it.
IDENTITY = ("name", "version", "weights_sha256")
PARTS = ("device", "batch_size", "seconds", "parameters", "checks", "warnings")
# In bytes of JSON, of all that one part says: together less than 10 KB.
_ROOM: Mapping[str, int] = {"seconds": 1_024, "parameters": 4_096, "checks": 2_048, "warnings": 2_048}
_DEVICE = ("kind", "name", "precision")
_MAX_TEXT, _MAX_WORD = 1_000, 100
_MAX_INTEGER = 2**63
# Firestore takes no empty name and none between double underscores.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")
_LEFT_OUT = "The model server told more of this result than is kept."


def identity(info: Mapping[str, object]) -> dict[str, str]:
    """Return the engine's name, version and digest of its weights; empty where one was not told."""
    told = _mapping(info.get("engine"))
    return {name: _word(told.get(name)) for name in IDENTITY}


def provenance(info: Mapping[str, object], *, asked: Mapping[str, object]) -> dict[str, Any]:
    """
    Return PARTS: where and how the engine ran, with which settings, for how many seconds, and how far to trust it.

    asked: the job's own parameters. A prompt that is the one asked for is not told twice. A part that was not told is
    None or empty; what does not fit is left out, and a warning says so.
    """
    told: dict[str, Mapping[Any, object]] = {
        "seconds": {name: value for name, value in _mapping(info.get("seconds")).items() if _is_number(value)},
        "parameters": _without_prompts(_mapping(info.get("parameters")), asked),
        "checks": _mapping(info.get("checks")),
        "warnings": dict(enumerate(map(_text, _list(info.get("warnings"))))),
    }
    kept = {part: _fitting(each, _ROOM[part]) for part, each in told.items()}
    whole = all(len(kept[part]) == len(each) for part, each in told.items())
    return {
        "device": _device(info.get("device")),
        "batch_size": _whole(info.get("batch_size")),
        **kept,
        "warnings": [*kept["warnings"].values(), *([] if whole else [_LEFT_OUT])],
    }


def separated(
    engine: Mapping[str, Any] | None, provenance: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return both as they are stored today: once, the engine's own entry held its run as well."""
    if engine is None or provenance is not None or not any(part in engine for part in PARTS):
        return _copy(engine), _copy(provenance)
    run = {part: engine[part] for part in PARTS if part in engine}
    nothing: dict[str, Any] = {"device": None, "batch_size": None, "seconds": {}, "parameters": {}, "checks": {}}
    return {name: value for name, value in engine.items() if name not in PARTS}, {**nothing, "warnings": [], **run}


def _copy(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if told is None else dict(told)


def _mapping(told: object) -> Mapping[str, object]:
    return told if isinstance(told, Mapping) else {}


def _list(told: object) -> list[object]:
    return told if isinstance(told, list) else []


def _without_prompts(told: Mapping[str, object], asked: Mapping[str, object]) -> dict[str, object]:
    same = {name for name in ("prompt", "negative_prompt") if told.get(name) == (asked.get(name) or "")}
    return {name: value for name, value in told.items() if name not in same}


def _fitting(told: Mapping[Any, object], room: int) -> dict[Any, Any]:
    kept: dict[Any, Any] = {}
    for name, value in told.items():
        if not _is_name(name):
            continue
        plain = _plain(value)
        size = len(json.dumps({name: plain}, ensure_ascii=False).encode())
        if size <= room:
            kept[name] = plain
            room -= size
    return kept


def _is_name(name: object) -> bool:
    return not isinstance(name, str) or bool(_NAME.fullmatch(name))


def _plain(value: object, *, inside: bool = False) -> Any:  # noqa: ANN401 - any JSON value
    """Return what every store holds of a JSON value: one list or mapping of single values, no deeper."""
    if value is None or isinstance(value, bool) or _is_number(value):
        return value
    if isinstance(value, list) and not inside:
        return [_plain(each, inside=True) for each in value]
    if isinstance(value, Mapping) and not inside:
        return {name: _plain(each, inside=True) for name, each in value.items() if _is_name(name)}
    return None if isinstance(value, float) else _text(value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else -_MAX_INTEGER <= value < _MAX_INTEGER


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and _is_number(value) else None


def _device(told: object) -> dict[str, str] | None:
    if not isinstance(told, Mapping):
        return None
    return {name: _word(told.get(name)) for name in _DEVICE}


def _word(value: object) -> str:
    return _text(value, _MAX_WORD) if isinstance(value, str) else ""


def _text(value: object, longest: int = _MAX_TEXT) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    whole = text.replace("\0", "").encode(errors="ignore").decode()
    return whole if len(whole) <= longest else whole[: longest - 1] + "…"

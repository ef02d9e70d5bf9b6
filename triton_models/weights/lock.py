"""The lock: which files the engines need, where they come from, and the sha256 of every one of them."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from triton_models.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK = Path(__file__).parents[1] / "weights.lock"


@dataclass(frozen=True)
class LockedFile:
    """
    One file of an entry.

    path: where it lies under the entry's folder, and under the source's. sha256: empty while nobody has pinned it.
    bytes: its size, 0 while unknown. member: its name inside a wheel, where that is another. text: what is in it, for a
    file that the lock itself brings along because the source has none that suits.
    """

    path: str
    sha256: str = ""
    bytes: int = 0
    member: str = ""
    text: str = ""


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index; files are members of it. Nothing of it is installed or run."""

    # ncnn's networks are .bin and .param, licences have no suffix at all.
    suffixes: ClassVar[frozenset[str]] = frozenset({".onnx", ".bin", ".param", ".txt", ""})

    package: str
    version: str
    wheel: str
    wheel_sha256: str

    @property
    def pinned(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Repository:
    """A repository of the model hub at one commit: 40 hexadecimal digits, empty while nobody has pinned it."""

    suffixes: ClassVar[frozenset[str]] = frozenset({".safetensors", ".onnx", ".json", ".txt", ".md"})

    repository: str
    revision: str = ""

    @property
    def pinned(self) -> bool:
        return re.fullmatch("[0-9a-f]{40}", self.revision) is not None

    def url(self, path: str, *, hub: str) -> str:
        return f"{hub}/{self.repository}/resolve/{self.revision}/{quote(path)}"

    def __str__(self) -> str:
        return f"{self.repository} at {self.revision[:10] or 'no commit'}"


@dataclass(frozen=True)
class Release:
    """Files at a release of a project on the web: the address of their folder."""

    suffixes: ClassVar[frozenset[str]] = frozenset({".pth", ".onnx", ".safetensors", ".json", ".txt"})

    release: str

    @property
    def pinned(self) -> bool:
        return True

    def url(self, path: str) -> str:
        return f"{self.release}/{quote(path)}"

    def __str__(self) -> str:
        return self.release


Source = Wheel | Repository | Release
# The key that only one kind of source has.
_KINDS: dict[str, type[Source]] = {"package": Wheel, "repository": Repository, "release": Release}


@dataclass(frozen=True)
class LockedWeights:
    """
    One entry: the weights that an engine reads.

    weights: the file whose sha256 stands for the engine in results. licence_url: where the licence can be read.
    acceptance: "required" where somebody must have said yes to the licence by name; terms: then, what it asks of them.
    """

    name: str
    licence: str
    weights: str
    source: Source
    files: tuple[LockedFile, ...]
    licence_url: str = ""
    acceptance: str = ""
    terms: str = ""
    # Which file of ours holds it: what a person would have to edit.
    lock: Path = field(default=LOCK, compare=False)

    @property
    def weights_sha256(self) -> str:
        return next(file.sha256 for file in self.files if file.path == self.weights)

    @property
    def pinned(self) -> bool:
        sized = isinstance(self.source, Wheel) or all(file.bytes for file in self.files)
        return self.source.pinned and sized and all(file.sha256 for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def folder(self, volume: Path) -> Path:
        return volume / self.name


def read_lock(path: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> dict[str, LockedWeights]:
    """
    Return the locked weights by name: those of weights.lock, and over them those of IMAGEN_WEIGHTS_LOCK.

    path: read this lock, and no other. Raises EngineUnavailable, naming the entry, for a lock that cannot be used.
    """
    if path is not None:
        return _read(path)
    another = environment.get("IMAGEN_WEIGHTS_LOCK", "")
    return _read(LOCK) | (_read(Path(another)) if another else {})


def _read(path: Path) -> dict[str, LockedWeights]:
    try:
        entries: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineUnavailable(f"{path} cannot be read as a lock of weights: {error}.") from error
    return {name: _entry(name, table, path) for name, table in entries.items()}


def _entry(name: str, table: dict[str, Any], path: Path) -> LockedWeights:
    try:
        source = _source(table["source"])
        files = tuple(_file(file) for file in table["files"])
        plain = {key: value for key, value in table.items() if key not in {"source", "files"}}
        entry = LockedWeights(name=name, source=source, files=files, lock=path, **plain)
    except (KeyError, TypeError) as error:
        raise EngineUnavailable(f"The entry {name} of {path} is not of the lock's form: {error}.") from error
    _check(entry)
    return entry


def _file(table: dict[str, Any]) -> LockedFile:
    file = LockedFile(**table)
    content = file.text.encode()
    return replace(file, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)) if content else file


def _source(table: dict[str, Any]) -> Source:
    kind = next(kind for key, kind in _KINDS.items() if key in table or key == "release")
    return kind(**table)


def _check(entry: LockedWeights) -> None:
    if entry.weights not in {file.path for file in entry.files}:
        raise EngineUnavailable(f"The entry {entry.name} of {entry.lock} lists no file {entry.weights}.")
    for file in entry.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise EngineUnavailable(f"The entry {entry.name} of {entry.lock} has a file outside its folder: {path}.")
        if path.suffix not in entry.source.suffixes:
            # What unpickles runs; the hub has the same weights as safetensors.
            allowed = ", ".join(sorted(filter(None, entry.source.suffixes)))
            raise EngineUnavailable(
                f"The entry {entry.name} of {entry.lock} has {path}; from such a source only {allowed} are taken."
            )

"""
Asks the model hub what an entry should pin, and writes that into the lock: for maintainers.

The hub is believed here, once, by whoever runs the command and looks at the difference before it is committed; from
then on nobody has to believe it again. Large files have their sha256 in the hub's own list (it is what git-lfs stores
them by), small ones are downloaded and hashed.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from triton_models.errors import InvalidParameter, WeightsNotFetched
from triton_models.weights.lock import LockedWeights, Repository, read_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from triton_models.weights.downloads import Downloader
    from triton_models.weights.lock import LockedFile

_DEFAULT_REVISION = "main"


def pin(
    entry: LockedWeights, downloader: Downloader, *, revision: str = "", say: Callable[[str], None]
) -> LockedWeights:
    """
    Return the entry with the commit, and the size and sha256 of every file, as the hub has them.

    revision: a branch, a pull request (refs/pr/7) or a commit to pin; empty for the one in the lock, or main. say:
    receives a line for every file that had another sha256 before. Raises InvalidParameter for an entry that is no
    repository, WeightsNotFetched, naming them, for files that are not there.
    """
    source = entry.source
    if not isinstance(source, Repository):
        raise InvalidParameter(
            f"{entry.name} comes from {source}, which the model hub knows nothing of: edit its entry."
        )
    asked = revision or source.revision or _DEFAULT_REVISION
    answer = downloader.json(
        f"{downloader.hub}/api/models/{source.repository}/revision/{quote(asked, safe='')}?blobs=true"
    )
    listed = _listed(answer, downloader)
    pinned = replace(source, revision=listed.commit)
    _refuse_missing(entry, pinned, listed.files)
    files = tuple(
        file if file.text else _pinned(file, listed.files[file.path], pinned, downloader) for file in entry.files
    )
    for before, after in zip(entry.files, files, strict=True):
        if before.sha256 and before.sha256 != after.sha256:
            say(f"{entry.name}: {before.path} was {before.sha256} and is now {after.sha256}.")
    return replace(entry, source=pinned, files=files)


@dataclass(frozen=True)
class _Listed:
    commit: str
    files: Mapping[str, Mapping[str, Any]]


def _listed(answer: Any, downloader: Downloader) -> _Listed:  # noqa: ANN401 - whatever the hub says
    try:
        return _Listed(answer["sha"], {file["rfilename"]: file for file in answer["siblings"]})
    except (KeyError, TypeError) as error:
        raise WeightsNotFetched(f"{downloader.hub} answered without a list of files.") from error


def _refuse_missing(entry: LockedWeights, source: Repository, there: Mapping[str, object]) -> None:
    missing = [file.path for file in entry.files if file.path not in there and not file.text]
    if not missing:
        return
    folders = {path.rpartition("/")[0] for path in missing}
    instead = [path for path in there if path.rpartition("/")[0] in folders]
    raise WeightsNotFetched(
        f"{source} has no {', '.join(missing)}; beside it there are {', '.join(sorted(instead)) or 'no files'}. "
        f"Correct the entry {entry.name} of {entry.lock}, or name another --revision."
    )


def _pinned(file: LockedFile, listed: Mapping[str, Any], source: Repository, downloader: Downloader) -> LockedFile:
    large = listed.get("lfs")
    if large:
        return replace(file, bytes=int(large["size"]), sha256=str(large["sha256"]))
    content = downloader.content(source.url(file.path, hub=downloader.hub))
    return replace(file, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def write(entry: LockedWeights) -> None:
    """Replace the entry in the lock that it came from; every other line stays as it is. Atomic."""
    text = entry.lock.read_text("utf-8")
    # From its own heading to the end of its list of files.
    found = re.search(rf"^{re.escape(_heading(entry))}\n.*?^\]\n", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise InvalidParameter(f"{entry.lock} has no entry {entry.name} with a list of files at its end.")
    changed = text[: found.start()] + rendered(entry) + text[found.end() :]
    with tempfile.NamedTemporaryFile("w", dir=entry.lock.parent, encoding="utf-8", delete=False) as file:
        file.write(changed)
    written = Path(file.name)
    try:
        if read_lock(written)[entry.name] != entry:
            raise InvalidParameter(f"The entry {entry.name} cannot be written as TOML; {entry.lock} is as it was.")
        written.chmod(entry.lock.stat().st_mode)
        written.replace(entry.lock)
    finally:
        written.unlink(missing_ok=True)


def rendered(entry: LockedWeights) -> str:
    """Return the entry as it stands in a lock."""
    plain = {
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "acceptance": entry.acceptance,
        "terms": entry.terms,
        "weights": entry.weights,
    }
    source = {f"source.{key}": value for key, value in vars(entry.source).items()}
    lines = [f"{key} = {_quoted(value)}" for key, value in (plain | source).items() if value]
    files = [f"  {{ {_row(file)} }}," for file in entry.files]
    return "\n".join([_heading(entry), *lines, "files = [", *files, "]"]) + "\n"


def _heading(entry: LockedWeights) -> str:
    bare = re.fullmatch("[A-Za-z0-9_-]+", entry.name)
    return f"[{entry.name}]" if bare else f"[{_quoted(entry.name)}]"


def _row(file: LockedFile) -> str:
    cells = [f"path = {_quoted(file.path)}"]
    if file.text:
        return ", ".join([*cells, f"text = {_quoted(file.text)}"])
    cells += [f"bytes = {file.bytes}"] if file.bytes else []
    cells += [f"sha256 = {_quoted(file.sha256)}"] if file.sha256 else []
    cells += [f"member = {_quoted(file.member)}"] if file.member else []
    return ", ".join(cells)


def _quoted(text: str) -> str:
    if '"' in text and "'" not in text and "\n" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

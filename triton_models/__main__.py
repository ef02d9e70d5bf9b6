"""
The model server's shell.

fetch [--engine NAME]       put weights on the model volume: the light engines', or those named, or --all
engines                     list the engines, whether they can be used here, and what is to be fetched for them
lock --engine NAME          for maintainers: pin what the model hub has for an entry of weights.lock
run OPERATION IN OUT ...    one image through one operation

Exit codes: 0 done · 1 the image or the result is not fit · 2 wrong command line · 3 weights are missing · 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from triton_models import devices, volume_shell, weights
from triton_models.engines import OPERATIONS
from triton_models.errors import EngineUnavailable, InvalidParameter, ModelError, UnknownEngine, WeightsNotFetched
from triton_models.parameters import COMMON
from triton_models.pipeline import Pipeline, Request, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNFIT, _USAGE, _NO_WEIGHTS, _INTERRUPTED = 1, 2, 3, 130
_EXIT_CODES: dict[type[ModelError], int] = {
    InvalidParameter: _USAGE,
    UnknownEngine: _USAGE,
    EngineUnavailable: _NO_WEIGHTS,
    WeightsNotFetched: _NO_WEIGHTS,
}
_SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_BAR = 30
# For a pass that nobody waits for any more: on a processor it may take a minute, and asks between its blocks.
_PATIENCE_SECONDS = 2.0
# Parameters that are fields of a request; all others travel among its options.
_FIELDS = {"prompt", "negative_prompt", "strength", "guidance_scale", "steps", "seed", "scale"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every expected trouble is one sentence on stderr and an exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.command(asked))
    except ModelError as error:
        return _fail(error.message, _EXIT_CODES.get(type(error), _UNFIT))
    except OSError as error:
        return _fail(f"{error.filename or 'A file'} could not be read or written: {error.strerror or error}.", _UNFIT)
    except KeyboardInterrupt:
        return _fail("Stopped; nothing was written.", _INTERRUPTED)


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m triton_models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volume", type=Path, default=weights.model_volume(), help="the folder of the weights")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    volume_shell.add_commands(commands)
    run = commands.add_parser("run", help="one image through one operation")
    run.set_defaults(command=_run)
    run.add_argument("operation", choices=OPERATIONS)
    run.add_argument("source", type=Path, metavar="IN")
    run.add_argument("target", type=Path, metavar="OUT", help="its suffix chooses the format: .png .jpg .webp")
    run.add_argument("--json", action="store_true", help="print what was done as JSON")
    for name in _parameter_names():
        run.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=_accepted_by(name))
    return parser


def _parameter_names() -> list[str]:
    names = {name for operation in OPERATIONS.values() for name in operation.accepts}
    return sorted((names | set(COMMON)) - {"format"})


def _accepted_by(name: str) -> str:
    users = [operation.name for operation in OPERATIONS.values() if name in operation.accepts]
    return ", ".join(users) or "all operations"


def _run(asked: argparse.Namespace) -> int:
    request = _request(asked)
    _refuse_no_folder(asked.target.parent)
    # Read when an engine's library is loaded; threads that spin while they wait take three times as long beside others.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with _loaded(asked) as pipeline, _Bar() as bar:
        result = pipeline.run(request, on_progress=bar.show, is_cancelled=lambda: False)
    _write(asked.target, result.image)
    _tell(asked, result)
    return 0


def _refuse_what_is_not_loaded(asked: argparse.Namespace, pipeline: Pipeline) -> None:
    """Raise EngineUnavailable with what to do about it: who asks here is who can."""
    for spec in pipeline.operation.engines:
        if spec.name == asked.engine and spec.name not in pipeline.engines:
            reason = spec.problem(asked.volume) or spec.missing_library()
            raise EngineUnavailable(f"The engine {spec.name} is not loaded. {reason}")


@contextmanager
def _loaded(asked: argparse.Namespace) -> Iterator[Pipeline]:
    devices.refuse_wrong_settings()
    # Why engines were left out is for a server's log; here whoever asks for one of them by its name is told.
    logging.getLogger("triton_models").addHandler(logging.NullHandler())
    pipeline = Pipeline.load(asked.operation, asked.volume)
    _refuse_what_is_not_loaded(asked, pipeline)
    try:
        yield pipeline
    finally:
        pipeline.close(_PATIENCE_SECONDS)


def _request(asked: argparse.Namespace) -> Request:
    suffix = asked.target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InvalidParameter(f"The suffix {suffix!r} of {asked.target} is none of {', '.join(_SUFFIXES)}.")
    given = {name: getattr(asked, name) for name in _parameter_names() if getattr(asked, name) is not None}
    fields = {name: value for name, value in given.items() if name in _FIELDS}
    options = {name: value for name, value in given.items() if name not in _FIELDS}
    return Request(image=asked.source.read_bytes(), options={**options, "format": _SUFFIXES[suffix]}, **fields)


def _refuse_no_folder(folder: Path) -> None:
    """Raise OSError now, and not after minutes of work, where the result could not be written."""
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


class _Bar:
    """A progress bar on stderr; leaves the cursor on a fresh line however the work ends."""

    drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        if self.drawn:
            sys.stderr.write("\n")

    def show(self, fraction: float, _preview: bytes | None) -> None:
        self.drawn = True
        done = round(fraction * _BAR)
        sys.stderr.write(f"\r[{'#' * done}{'.' * (_BAR - done)}] {fraction:4.0%}")
        sys.stderr.flush()


def _write(target: Path, content: bytes) -> None:
    # Renamed when whole: Ctrl-C in the middle leaves no half image under the name that was asked for.
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=target.suffix, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)


def _tell(asked: argparse.Namespace, result: Result) -> None:
    for warning in result.info["warnings"] if isinstance(result.info["warnings"], list) else []:
        sys.stderr.write(f"Note: {warning}\n")
    if asked.json:
        sys.stdout.write(json.dumps(result.info, indent=2) + "\n")
        return
    sys.stdout.write(
        f"{asked.target}: {result.width} x {result.height} {result.format}, {len(result.image) // 1024} KB\n"
    )


def _leave(code: int) -> NoReturn:
    """End the process, also while a pass that nobody waits for is still in torch, which aborts a usual end."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.daemon for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _leave(main())

"""
Where a main engine computes, and how precisely: chosen once, when the model server starts.

Five model processes share one card. Their passes take turns, one process at a time, so that what a pass needs beside
the weights is needed once and not five times (docs/model-server.md has the sum). Triton's own rate limiter cannot do
this: it counts an execution as over when execute() returns, and ours returns while the work goes on.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from triton_models.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Precision = Literal["fp32", "fp16"]
# torch has a class for its own allocator's refusals; the libraries below it, and onnxruntime, only have words.
_OUT_OF_MEMORY = (
    *("out of memory", "alloc_failed", "failed to allocate memory"),
    *("defaultcpuallocator", "bad_alloc", "bad allocation"),
)
_COURTESY_SECONDS = 0.001
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """
    kind: cpu or cuda. label: its name for people, such as Tesla T4. precision: of weights and passes.

    There is no bf16: a T4 has no units for it and emulates it at a fraction of the speed.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = "fp32"
    label: str = "CPU"
    _turns: Turns | None = field(default=None, repr=False, compare=False)

    @property
    def torch_name(self) -> str:
        return "cpu" if self.kind == "cpu" else "cuda:0"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Have the card alone, among all processes of the model server, for one pass; on a CPU nobody waits.

        At its end the memory that torch keeps for the next pass goes back to the card, for whoever is next. A process
        to which the card no longer answers is killed, and with it the server: nothing else would ever end well in it.
        """
        with self._turns.take() if self._turns else nullcontext():
            try:
                yield
            except BaseException as error:
                if _has_lost_the_card(error):
                    _end(error)
                # As long as the frames of an error live, so does all that they hold on the card.
                traceback.clear_frames(error.__traceback__)
                raise
            finally:
                if self._turns:
                    _give_memory_back()

    def described(self) -> dict[str, object]:
        """Return what a result says of where it was made, as JSON values."""
        return {"kind": self.kind, "name": self.label, "precision": self.precision}


CPU = Device()


class Turns:
    """A lock that the model processes share through a file; it is free as soon as whoever held it is dead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # flock() knows open files, not threads.
        self._mine = threading.Lock()
        self._file: int | None = None

    @contextmanager
    def take(self) -> Iterator[None]:
        with self._mine:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
                # The kernel does not hand a lock over: who asks again at once gets it before whoever slept for it.
                time.sleep(_COURTESY_SECONDS)


def choose(environment: Mapping[str, str] = os.environ) -> Device:
    """
    Return the device of this process: IMAGEN_DEVICE (auto, cpu, cuda) and IMAGEN_PRECISION (auto, fp32, fp16).

    auto is a card where torch finds one, else the processor; fp16 on a card, fp32 on a processor, where fp16 is
    slower. IMAGEN_GPU_LOCK: the file by which the processes take turns, "off" for one that has a card of its own.
    Raises EngineUnavailable for other values, for a card that is not there, and for fp16 without one.
    """
    device = _one_of(environment, "IMAGEN_DEVICE", ("auto", "cpu", "cuda"))
    precision = _one_of(environment, "IMAGEN_PRECISION", ("auto", "fp32", "fp16"))
    card = None if device == "cpu" else _card()
    if card is None:
        if device == "cuda":
            raise EngineUnavailable("IMAGEN_DEVICE asks for cuda, but torch finds no card here.")
        if precision == "fp16":
            raise EngineUnavailable("IMAGEN_PRECISION asks for fp16, which only a card computes well.")
        return CPU
    return Device("cuda", "fp32" if precision == "fp32" else "fp16", card, _turns(environment))


def refuse_wrong_settings(environment: Mapping[str, str] = os.environ) -> None:
    """Raise EngineUnavailable for what choose() refuses, also where no engine is loaded that would call it."""
    device = _one_of(environment, "IMAGEN_DEVICE", ("auto", "cpu", "cuda"))
    precision = _one_of(environment, "IMAGEN_PRECISION", ("auto", "fp32", "fp16"))
    # For all else it does not matter whether there is a card, and torch need not be loaded to find one.
    if device == "cuda" or precision == "fp16":
        choose(environment)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of torch or onnxruntime means that there was no room, on a card or beside it."""
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _has_lost_the_card(error: BaseException) -> bool:
    # An illegal access, say: CUDA answers every later call of the process with the same error.
    lost = getattr(sys.modules.get("torch"), "AcceleratorError", ())
    return isinstance(error, lost) and not is_out_of_memory(error)


def _end(error: BaseException) -> None:
    _log.critical("The card no longer answers this process, which ends to be started anew: %s", error)
    os.kill(os.getpid(), signal.SIGKILL)


def _turns(environment: Mapping[str, str]) -> Turns | None:
    lock = environment.get("IMAGEN_GPU_LOCK") or str(Path(tempfile.gettempdir()) / "imagen-gpu-0.lock")
    return None if lock == "off" else Turns(Path(lock))


def _give_memory_back() -> None:
    # An engine that has loaded no torch keeps nothing by it.
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


def uses_card() -> bool:
    """Say whether this process computes on a card; what has loaded no torch does not, and need not load it to know."""
    return "torch" in sys.modules and choose().kind == "cuda"


def _one_of(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    asked = environment.get(name) or "auto"
    if asked not in choices:
        raise EngineUnavailable(f"{name} must be one of {', '.join(choices)}, not {asked!r}.")
    return asked


def _card() -> str | None:
    # Without NVIDIA's driver there is none, and torch, 200 MB in each of five processes, need not be loaded to know.
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    try:
        import torch
    except ModuleNotFoundError:
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None

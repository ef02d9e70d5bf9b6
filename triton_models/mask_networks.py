"""Networks that say of a picture where its subject is, run by onnxruntime, one picture or several in a pass."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from triton_models import devices, onnx_batch
from triton_models.devices import CPU
from triton_models.errors import EngineUnavailable, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.devices import Device

    Floats = NDArray[np.float32]

_CARD = "CUDAExecutionProvider"
_CARD_OPTIONS = {
    "device_id": 0,
    # Doubling what it takes, as it does otherwise, would hold memory of the card that four other models wait for.
    "arena_extend_strategy": "kSameAsRequested",
    # Trying every algorithm takes seconds whenever a batch has a size not seen before.
    "cudnn_conv_algo_search": "HEURISTIC",
    # Ten bits of mantissa would show in what shared passes and lone ones differ by.
    "use_tf32": 0,
}
_TOO_LITTLE_MEMORY = "There is not enough memory for the network that finds the subject."
# Pictures of a pass and the same alone may differ by so much of 0 to 1.
_SAME = 1 / 255
# onnxruntime's errors have no base of their own.
ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskNetwork:
    """
    A loaded network. side: height and width of what it takes, in pixels.

    device: where it computes, which may be the processor although there is a card.
    """

    session: onnxruntime.InferenceSession
    side: int
    device: Device = CPU

    def masks(self, pictures: Sequence[Floats], options: onnxruntime.RunOptions | None = None) -> list[Floats]:
        """
        Ask in one pass where the subjects are.

        pictures: float32 (3, side, side), normalised as the network wants. Returns for each float32 (side, side), as
        the network says it. options: from run_options(); its `terminate`, set in another thread, ends the pass with one
        of ERRORS. Raises OutOfMemory.
        """
        taken, given = self.session.get_inputs()[0].name, self.session.get_outputs()[0].name
        with self.device.turn(), _memory_errors():
            # The first output is the fused map; those behind it are the side outputs it was trained with.
            (answer,) = self.session.run([given], {taken: np.stack(pictures)}, options or self.run_options())
        return list(np.asarray(answer, np.float32)[:, 0])

    def run_options(self) -> onnxruntime.RunOptions:
        """Return options for one pass; the memory it needed goes back after it."""
        options = onnxruntime.RunOptions()
        arenas = "cpu:0;gpu:0" if self.device.kind == "cuda" else "cpu:0"
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
        return options


def open_network(path: Path, *, side: int, threads: int, device: Device = CPU) -> MaskNetwork:
    """
    Load a network from an ONNX file.

    side: where the file leaves it open. Raises EngineUnavailable, naming a file that onnxruntime cannot load.
    """
    session, device = _opened(path, _lean(path), threads, device)
    declared = session.get_inputs()[0].shape[-1]
    return MaskNetwork(session, declared if isinstance(declared, int) else side, device)


def may_share(network: MaskNetwork) -> bool:
    """
    Try whether two pictures, one with a subject and one without, get from one pass what each gets alone.

    That is so for every convolutional network, but a file may be of another kind, and its pictures would mix silently.
    """
    rows, columns = np.mgrid[-1 : 1 : 1j * network.side, -1 : 1 : 1j * network.side].astype(np.float32)
    background = np.stack([-0.1 + 0.1 * rows, 0.1 + 0.1 * columns, np.zeros_like(rows)])
    red = np.array([0.4, -0.3, -0.3], np.float32)[:, None, None]
    pictures = [np.where(np.hypot(rows, columns) < 0.5, red, background), background]
    alone = [network.masks([picture])[0] for picture in pictures]
    try:
        together = network.masks(pictures)
    except (OutOfMemory, native.Fail, native.RuntimeException, native.InvalidArgument) as error:
        _log.warning("a pass of two pictures failed: %s", error)
        return False
    differ, apart = (float(np.abs(np.subtract(one, alone)).max()) for one in (together, alone[::-1]))
    # Answers that are alike anyway would prove nothing.
    return differ <= _SAME < apart


def _lean(path: Path) -> bytes:
    """Return the file with a free batch and without side outputs, or as it is."""
    content = path.read_bytes()
    try:
        return onnx_batch.free_batch(content)
    except onnx_batch.NotUnderstood as error:
        _log.warning("%s is used as it is, because %s", path.name, error)
        return content


def _opened(path: Path, content: bytes, threads: int, device: Device) -> tuple[onnxruntime.InferenceSession, Device]:
    """Open a session on the card if that is asked for and can be had, else on the processor; say which it is."""
    wanted = device.kind == "cuda" and _CARD in onnxruntime.get_available_providers()
    if wanted:
        # torch's wheels bring the CUDA libraries, in a place where nobody else looks for them.
        onnxruntime.preload_dlls()
    options = session_options(threads)
    # Arrays of hundreds of megabytes: without the arena a sixth of a pass is the system clearing new pages.
    options.enable_cpu_mem_arena = True
    providers = [*([(_CARD, _CARD_OPTIONS)] if wanted else []), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except ERRORS as error:
        raise EngineUnavailable(f"{path} cannot be loaded by onnxruntime: {error}") from error
    if device.kind == "cpu":
        return session, CPU
    if _CARD in session.get_providers():
        # It would go on without the card for good after a failure of one pass, and say nothing.
        session.disable_fallback()
        # The file's own precision, whatever others compute in.
        return session, replace(device, precision="fp32")
    _log.warning("%s computes on the processor: this onnxruntime cannot use the card", path.name)
    return session, CPU


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return how every network here is run: with little memory, and leaving the cores to others when it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The arena keeps the largest pass for ever, and a plan made beforehand takes more than is needed at any one time.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads that spin while they wait take the cores of the other models.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.use_deterministic_compute = True
    return options


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(_TOO_LITTLE_MEMORY) from error
    except ERRORS as error:
        if devices.is_out_of_memory(error):
            raise OutOfMemory(_TOO_LITTLE_MEMORY) from error
        raise

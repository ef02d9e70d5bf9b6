from __future__ import annotations

import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from triton_models import devices
from triton_models.errors import EngineUnavailable

_WITHOUT_A_DRIVER = """
import ctypes, sys
from triton_models import devices

def absent(name):
    raise OSError(name)

ctypes.CDLL = absent
print(devices.choose().label, "torch" in sys.modules)
"""
ROOT = Path(__file__).resolve().parents[2]
_HOLDER = """
import sys, pathlib
from triton_models.devices import Turns
with Turns(pathlib.Path(sys.argv[1])).take():
    print("mine", flush=True)
    sys.stdin.read()
"""
# Beside a torch of which there is only what matters here.
_LOST_CARD = """
import sys, types
class AcceleratorError(RuntimeError): pass
sys.modules["torch"] = types.SimpleNamespace(AcceleratorError=AcceleratorError)
from triton_models import devices
try:
    with devices.CPU.turn():
        raise AcceleratorError(sys.argv[1])
except RuntimeError as error:
    print(type(error).__name__)
"""


def a_pass_that_fails(words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _LOST_CARD, words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


class TestChoose:
    def test_takes_the_processor_in_fp32_when_asked_for_it(self) -> None:
        assert devices.choose({"IMAGEN_DEVICE": "cpu"}) == devices.CPU
        assert devices.CPU.described() == {"kind": "cpu", "name": "CPU", "precision": "fp32"}

    def test_takes_a_card_in_fp16_where_there_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "_card", lambda: "Tesla T4")

        assert devices.choose({}).described() == {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"}
        assert devices.choose({"IMAGEN_PRECISION": "fp32"}).precision == "fp32"
        assert devices.choose({"IMAGEN_DEVICE": "cpu"}).kind == "cpu"

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("IMAGEN_DEVICE", "gpu", "one of auto, cpu, cuda, not 'gpu'"),
            ("IMAGEN_PRECISION", "bf16", "one of auto, fp32, fp16, not 'bf16'"),
            ("IMAGEN_DEVICE", "cuda", "torch finds no card"),
            ("IMAGEN_PRECISION", "fp16", "only a card"),
        ],
    )
    def test_refuses_what_it_cannot_do(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
    ) -> None:
        monkeypatch.setattr(devices, "_card", lambda: None)

        with pytest.raises(EngineUnavailable, match=sentence):
            devices.choose({name: value})
        with pytest.raises(EngineUnavailable, match=sentence):
            devices.refuse_wrong_settings({name: value})


class TestTooLittleMemory:
    @pytest.mark.parametrize(
        "words",
        [
            "CUDA out of memory. Tried to allocate 20.00 MiB.",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory",
            "Failed to allocate memory for requested buffer of size 4294967296",
        ],
    )
    def test_is_known_by_the_words_of_each_library(self, words: str) -> None:
        assert devices.is_out_of_memory(RuntimeError(words))

    def test_is_not_seen_in_every_error(self) -> None:
        assert not devices.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


class TestWithoutADriver:
    def test_no_torch_is_loaded_to_find_no_card(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_A_DRIVER], cwd=ROOT, capture_output=True, text=True, check=True
        )

        assert done.stdout == "CPU False\n"


class TestUsesCard:
    def test_is_true_only_for_a_process_that_has_loaded_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "_card", lambda: "Tesla T4")
        monkeypatch.delenv("IMAGEN_DEVICE", raising=False)

        monkeypatch.setitem(sys.modules, "torch", object())
        assert devices.uses_card()
        monkeypatch.delitem(sys.modules, "torch")
        assert not devices.uses_card()


class TestATurn:
    @pytest.fixture
    def emptied(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        calls: list[str] = []
        cuda = SimpleNamespace(empty_cache=lambda: calls.append("emptied"))
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        monkeypatch.setattr(devices, "_card", lambda: "Tesla T4")
        return calls

    def test_gives_the_cards_memory_back_however_it_ends(self, emptied: list[str], tmp_path: Path) -> None:
        device = devices.choose({"IMAGEN_GPU_LOCK": str(tmp_path / "lock")})

        with device.turn():
            assert emptied == []
        with pytest.raises(ZeroDivisionError), device.turn():
            raise ZeroDivisionError

        assert emptied == ["emptied", "emptied"]

    def test_keeps_nothing_alive_that_a_failed_pass_had_on_the_card(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        class Numbers:
            pass

        alive: list[weakref.ref[Numbers]] = []
        at_the_end: list[bool] = []
        cuda = SimpleNamespace(empty_cache=lambda: at_the_end.append(alive[0]() is not None))
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        monkeypatch.setattr(devices, "_card", lambda: "Tesla T4")

        def a_pass() -> None:
            numbers = Numbers()
            alive.append(weakref.ref(numbers))
            raise RuntimeError("CUDA out of memory.")

        with pytest.raises(RuntimeError), devices.choose({"IMAGEN_GPU_LOCK": str(tmp_path / "lock")}).turn():
            a_pass()

        assert at_the_end == [False]

    def test_ends_the_process_to_which_the_card_does_not_answer(self) -> None:
        done = a_pass_that_fails("CUDA error: an illegal memory access was encountered")

        assert done.returncode == -signal.SIGKILL
        assert "The card no longer answers this process" in done.stderr

    def test_outlives_a_card_without_room(self) -> None:
        done = a_pass_that_fails("CUDA error: out of memory")

        assert (done.returncode, done.stdout) == (0, "AcceleratorError\n")

    def test_is_not_waited_for_by_who_has_a_card_of_its_own(self, emptied: list[str]) -> None:
        device = devices.choose({"IMAGEN_GPU_LOCK": "off"})

        with device.turn(), device.turn():
            pass

        assert emptied == []


class TestTurns:
    def test_let_one_thread_in_at_a_time(self, tmp_path: Path) -> None:
        turns, inside, most = devices.Turns(tmp_path / "lock"), [0], [0]

        def work() -> None:
            for _ in range(50):
                with turns.take():
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert most == [1]

    def test_keep_another_process_out_and_are_free_when_it_is_killed(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", _HOLDER, str(tmp_path / "lock")]
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(devices.__file__).parents[1]
        )
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"mine\n"
        entered = threading.Event()

        def enter() -> None:
            with devices.Turns(tmp_path / "lock").take():
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()

        assert entered.wait(5)
        thread.join()

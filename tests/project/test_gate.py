"""The gate of the outage tests: an outage that lets something through would prove nothing."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.gate import Gate


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that answers everything with itself."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while said := connection.recv(1024):
                connection.sendall(said)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=[connection], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    # To close it alone would leave accept() waiting.
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def gate(echo_port: int) -> Iterator[Gate]:
    with Gate(echo_port) as gate:
        yield gate


def connect(gate: Gate) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gate.port), timeout=0.3)


class TestGate:
    def test_passes_both_ways(self, gate: Gate) -> None:
        with connect(gate) as client:
            client.sendall(b"hello")

            assert client.recv(10) == b"hello"

    def test_refuses_and_cuts_when_it_is_shut(self, gate: Gate) -> None:
        with connect(gate) as client:
            client.sendall(b"hello")
            client.recv(10)

            gate.shut()

            assert client.recv(10) == b""
            with pytest.raises(ConnectionRefusedError):
                connect(gate)

    def test_is_silent_while_it_holds_and_then_passes_what_it_held(self, gate: Gate) -> None:
        with connect(gate) as client:
            gate.hold()
            client.sendall(b"hello")

            with pytest.raises(TimeoutError):
                client.recv(10)
            gate.open()

            assert client.recv(10) == b"hello"

    def test_opens_again_on_the_same_port(self, gate: Gate) -> None:
        gate.shut()
        gate.open()

        with connect(gate) as client:
            client.sendall(b"hello")

            assert client.recv(10) == b"hello"

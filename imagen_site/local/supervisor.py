"""supervisord as a child of ours, which ends with us however we end."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from imagen_site.local.programs import supervisor_config
from imagen_site.local.terminal import hung_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from imagen_site.local.programs import Program


class Supervisor:
    """One supervisord over some programs; `name` is that of its configuration, its log and its process file."""

    def __init__(
        self,
        programs: Iterable[Program],
        environment: Mapping[str, str],
        *,
        root: Path,
        var_dir: Path,
        name: str = "supervisor",
    ) -> None:
        (var_dir / "logs").mkdir(parents=True, exist_ok=True)
        written = var_dir / f"{name}.conf"
        written.write_text(supervisor_config(programs, root=root, var_dir=var_dir, name=name))
        self._stopping = False
        self._on_stop: Callable[[], None] = lambda: None
        self._has_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "supervisor.supervisord", "-c", written],
            env=environment,
            stdin=subprocess.DEVNULL,
            # A session of its own: Ctrl-C reaches us alone, and we ask it to stop, once.
            start_new_session=True,
        )

    def stop_when_asked(self, on_stop: Callable[[], None]) -> None:
        """Take a signal that asks this process to end, or a terminal that is gone, for the wish to stop."""
        self._on_stop = on_stop
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())

    def goes(self) -> bool:
        return not self._stopping and self._process.poll() is None

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.terminate()
            self._on_stop()

    def wait(self) -> bool:
        """Return when it has ended: whether that was asked for."""
        while self._process.poll() is None:
            # A make that was its terminal's first process (ssh -t ... make run) keeps the hang-up to itself.
            if self._has_terminal and hung_up(sys.stdin.fileno()):
                self.stop()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        return self._stopping

"""Waits for the site and its model server, and tells whoever waits what is still missing."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Say = Callable[[str], None]

_POLL_SECONDS = 0.25
_SAY_EVERY_SECONDS = 5


@dataclass(frozen=True)
class Readiness:
    """What /readyz tells: whether jobs are accepted, and which operations' models can run them."""

    site: bool = False
    models: Mapping[str, bool] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.site and all(self.models.values())

    @property
    def missing(self) -> str:
        """The part that is being waited for, in words."""
        if not self.site:
            return "site"
        return "model server" if not any(self.models.values()) else "models " + ", ".join(self._absent)

    @property
    def _absent(self) -> list[str]:
        return [name for name, ready in self.models.items() if not ready]


def ask(address: str) -> Readiness:
    """Ask the site at this address ("http://127.0.0.1:8000") how far it is; an answer is never an error."""
    # Without the proxies of the environment: the site is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/readyz", timeout=10) as answer:
            told = json.load(answer)
    except (OSError, ValueError):
        return Readiness()
    return Readiness(site=told["ready"], models=told["models"])


def wait(
    address: str, *, seconds: float, models_seconds: float | None = None, going: Callable[[], bool], say: Say
) -> Readiness:
    """
    Wait until all is ready, time is over or `going()` is false; return the last answer.

    seconds: for the site, and for the models with it. models_seconds: for the models from when the site answers, in
    place of what is left of `seconds`. say: receives a line when something becomes ready, and one every five seconds
    about what is missing.
    """
    began = said = time.monotonic()
    deadline = began + seconds
    seen = Readiness()
    say("site: starting…")
    while going() and not seen.complete and time.monotonic() < deadline:
        before, seen = seen, _not_lost(seen, ask(address))
        now = time.monotonic()
        if seen.site and not before.site:
            deadline = deadline if models_seconds is None else now + models_seconds
            say(f"site: answers ({now - began:.0f} s)")
            said = now
            if not seen.complete:
                say(f"{seen.missing}: loading…")
        elif now - said > _SAY_EVERY_SECONDS:
            say(f"{seen.missing}: still {'loading' if seen.site else 'starting'}… ({now - began:.0f} s)")
            said = now
        if not seen.complete:
            time.sleep(_POLL_SECONDS)
    return seen


def _not_lost(before: Readiness, now: Readiness) -> Readiness:
    # On a busy machine an answer may be late; supervisor knows better whether the site has ended.
    return before if before.site and not now.site else now

"""What `make run` tells whoever sits before it, and whether anybody still does."""

from __future__ import annotations

import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def say(line: str) -> None:
    # The terminal may have been closed; the site, or its end, does not depend on it.
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def boxed(lines: Sequence[str]) -> str:
    """Return the lines with a frame around them."""
    width = max(map(len, lines))
    rule = "─" * (width + 2)
    return "\n".join([f"\n┌{rule}┐", *(f"│ {line:{width}} │" for line in lines), f"└{rule}┘\n"])


def hung_up(terminal: int) -> bool:
    """Tell whether the terminal with this file descriptor is gone."""
    poll = select.poll()
    poll.register(terminal, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

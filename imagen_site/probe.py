"""
Whether the web server of this container answers: what Docker asks every few seconds (docker/Dockerfile).

`python imagen_site/probe.py` ends with 0, or says what is wrong and ends with 1. It imports nothing of ours.
"""

from __future__ import annotations

import http.client
import os
import sys
from contextlib import closing

_PATIENCE_SECONDS = 3


def complaint(port: int) -> str:
    """Return what is wrong with the server at this port of 127.0.0.1, nothing when it answers."""
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)) as connection:
            connection.request("GET", "/livez")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The site does not answer on port {port}: {error or type(error).__name__}."
    return "" if status == http.HTTPStatus.OK else f"The site answers /livez with {status}."


def main() -> int:
    # As the server itself is told; whatever it refuses ends it before it is probed.
    wrong = complaint(int(os.environ.get("PORT") or "8080"))
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The site's programs as arguments of Python: the same on one machine (local/programs.py) and in a container."""

from __future__ import annotations

# Cloud Run gives ten seconds after SIGTERM; what has begun may take eight of them.
_STOP_SECONDS = 8


def web(*, host: str, port: int) -> tuple[str, ...]:
    """Return the web server of site and webhooks; IMAGEN_SERVICE says which of the two it is."""
    listen = ("--host", host, "--port", str(port), "--no-access-log")
    # What it would compress is small or a JPEG, and it would keep 40 kB for each socket.
    sockets = ("--ws-max-size", "65536", "--ws-per-message-deflate", "false")
    stop = ("--timeout-graceful-shutdown", str(_STOP_SECONDS))
    return ("-m", "uvicorn", "imagen_site.asgi:application", *listen, *sockets, *stop)


def worker(name: str, *, jobs: int, queue: str = "") -> tuple[str, ...]:
    """Return a worker that does so many jobs at once, of one operation's queue or of all of them."""
    threads = ("-P", "threads", "-c", str(jobs), "-n", name, *(("-Q", queue) if queue else ()))
    quiet = ("--without-mingle", "--without-gossip", "--without-heartbeat", "--pidfile=")
    return ("-m", "celery", "-A", "imagen_site", "worker", *threads, *quiet)

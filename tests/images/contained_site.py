"""The cloud's services in their images, over the emulators: each is one container, told what it would be told there."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from tests.cloud_site import CloudSite
from tests.images.containers import Container, running, wait_for
from tests.running_site import answers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tests.images.build import Images

# As the manifest of a worker has it, for the image's own health check too.
ALIVE = "/tmp/alive"  # noqa: S108 - in the container


@dataclass
class ContainedSite(CloudSite):
    """Its containers are started by a test, or by the first that needs one, and stop with the site."""

    images: Images = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.var_dir.mkdir(parents=True, exist_ok=True)
        migrate = self.container("api", {}, "python", "manage.py", "migrate", "-v0")
        if code := migrate.wait(120):
            raise RuntimeError(f"migrate ended with {code}:\n{migrate.output[-3000:]}")
        self.open_account()
        self.manage("prepare_emulators", self.webhooks_url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def container(self, image: str, environment: Mapping[str, str], *command: str) -> Container:
        """Start a container of the image `api` or `worker`."""
        name = getattr(self.images, image)
        told = {**self.told(), **environment}
        return self._stack.enter_context(running(self.images.buildah, name, self.var_dir, told, *command))

    def api(self) -> Container:
        container = self.container("api", {"PORT": str(self.port)})
        wait_for(container, partial(answers, f"{self.url}/livez"), what="the first answer of the api")
        return container

    def webhooks(self) -> Container:
        container = self.container("api", {"IMAGEN_SERVICE": "webhooks", "PORT": str(self.webhooks_port)})
        wait_for(container, partial(answers, f"{self.webhooks_url}/livez"), what="the first answer of the webhooks")
        return container

    def worker(self, queue: str) -> Container:
        container = self.container("worker", {"WORKER_QUEUE": queue})
        probe = ("python", "imagen_site/liveness.py", ALIVE)
        wait_for(container, lambda: container.execute(*probe).returncode == 0, what="the worker's first sign of life")
        return container

    def told(self) -> dict[str, str]:
        """Return what every container is told: what this site sets itself, and nothing of this machine's."""
        own = {name: value for name, value in self._environment().items() if os.environ.get(name) != value}
        own.pop("IMAGEN_VAR_DIR")
        # A container has no folder to keep one of its own in.
        return {**own, "SECRET_KEY": "of the containers of one test run alone"}

"""
The cloud's services as child processes over the emulators: web, webhooks, a worker for each operation, and the sweep.

The same programs as `make run PROFILE=emulators`, without a supervisor: what a test kills stays dead until it is started.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from websockets.sync.client import connect

from imagen_site.local.programs import cloud_programs
from jobs.operations import OPERATIONS
from tests.running_site import ROOT, RunningSite, answers, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# No server is there. A worker must not notice.
NO_DATABASE = "postgres://nobody@127.0.0.1:1/nothing"
WORKERS = {operation.name: operation.worker for operation in OPERATIONS.values()}
PARTS = ("web", "webhooks", *WORKERS.values(), "sweep")

_names = count(1)
# What SQL knows of jobs; argv: their ids.
_ACCOUNTS = """
import json, sys
from accounts.models import Account
from billing.models import LedgerEntry
from billing.services import audit
from jobs.models import Job
ids = json.loads(sys.argv[-1])
jobs = {
    str(job.id): {
        "status": job.status, "settled": job.settled_at is not None, "attempts": job.attempts, "credits": job.credits,
        "error_code": job.error_code, "ledger": [],
    }
    for job in Job.objects.filter(id__in=ids)
}
for reference, kind in LedgerEntry.objects.filter(reference__in=ids).order_by("id").values_list("reference", "kind"):
    jobs[reference]["ledger"].append(kind)
print(json.dumps({"jobs": jobs, "agrees": audit(Account.objects.get()).agrees}))
"""


@dataclass(frozen=True)
class Addresses:
    """Where the stand-ins of the cloud answer; perhaps a gate before them."""

    pubsub: str
    firestore: str
    storage: str
    database: str


@dataclass
class CloudSite(RunningSite):
    """A site of the `emulators` profile, in a cloud project of its own."""

    addresses: Addresses = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.project = f"chaos-{next(_names)}"
        self.webhooks_port = free_port()
        self.webhooks_url = f"http://127.0.0.1:{self.webhooks_port}"
        self.push_token = "told to the emulator and to nobody else"
        programs = cloud_programs(
            ROOT,
            port=self.port,
            webhooks_port=self.webhooks_port,
            run_dir=self.var_dir,
            worker_jobs=self.concurrency,
        )
        self._programs = {program.name: program for program in programs}

    def start_all(self) -> None:
        """Start what does not run, and wait until all answer or take jobs."""
        for name in PARTS:
            if not self.runs(name):
                self.start(name)
        for name in ("web", "webhooks"):
            wait_until(partial(self.answers, name), seconds=60, what=f"the start of {name}")
        for name in WORKERS.values():
            wait_until(partial(self.takes_jobs, name), seconds=60, what=f"the start of {name}")

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def prepare(self) -> None:
        super().prepare()
        self.manage("prepare_emulators", self.webhooks_url)

    def start(self, name: str, **environment: str) -> None:
        program = self._programs[name]
        # A kill leaves it behind, and then it says nothing of the next one.
        self._alive(name).unlink(missing_ok=True)
        told = {"DATABASE_URL": NO_DATABASE} if name in WORKERS.values() else {}
        self._start(name, list(program.command), **{**program.environment, **told, **environment})

    def start_second(self, worker: str) -> None:
        """Start one more worker of this kind, named "second" to us, and without its liveness file."""
        program = self._programs[worker]
        self._start("second", list(program.command), IMAGEN_SERVICE="worker", DATABASE_URL=NO_DATABASE)

    def restart(self, name: str) -> None:
        """kill -9, and start it again at once."""
        self.kill(name)
        self.start(name)

    def takes_jobs(self, worker: str) -> bool:
        return self._alive(worker).exists()

    def answers(self, name: str) -> bool:
        """Tell whether the web or the webhooks service answers."""
        return answers(f"{self.url if name == 'web' else self.webhooks_url}/livez")

    def _alive(self, worker: str) -> Path:
        # As cloud_programs() tells them.
        return self.var_dir / f"{worker}.alive"

    def lines(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return what a part has logged under the name of this event."""
        found = []
        for line in self.log(name).splitlines():
            with suppress(ValueError):
                if f'"{event}"' in line and (said := json.loads(line)).get("event") == event:
                    found.append(said)
        return found

    def accounts(self, job_ids: list[str]) -> Accounts:
        return Accounts(**json.loads(self.python(_ACCOUNTS, json.dumps(job_ids))))

    def watch_all(self, *, shown: Iterable[str], seconds: float) -> Iterator[dict[str, Any]]:
        """
        Yield what a websocket says of the account's jobs; raises TimeoutError after so long a silence.

        shown: jobs that it is to tell of although they may have ended before it came.
        """
        address = f"ws://127.0.0.1:{self.port}/ws/jobs/?shown={','.join(shown)}"
        with connect(address, additional_headers={"X-API-Key": self.api_key}) as socket:
            while True:
                yield json.loads(socket.recv(timeout=seconds))

    def _environment(self) -> dict[str, str]:
        return {
            **super()._environment(),
            "IMAGEN_PROFILE": "emulators",
            "GOOGLE_CLOUD_PROJECT": self.project,
            "GCS_BUCKET": f"{self.project}-photos",
            "PUBSUB_EMULATOR_HOST": self.addresses.pubsub,
            "FIRESTORE_EMULATOR_HOST": self.addresses.firestore,
            "STORAGE_EMULATOR_HOST": self.addresses.storage,
            "DATABASE_URL": self.addresses.database,
            "PUSH_TOKEN": self.push_token,
        }


@dataclass(frozen=True)
class Accounts:
    """What SQL knows of some jobs, by id, and whether the account's balance is the sum of its ledger."""

    jobs: Mapping[str, Mapping[str, Any]]
    agrees: bool

    @property
    def unsettled(self) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if not job["settled"]]

    def ledger(self, job_id: str) -> list[str]:
        return list(self.jobs[job_id]["ledger"])

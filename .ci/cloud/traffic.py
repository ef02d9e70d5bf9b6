"""
Reads what `gcloud run services describe --format=json` says of a service's traffic.

`traffic.py split`: which revisions have it, as update-traffic wants it. `traffic.py candidate`: the address of the
revision of that tag. `traffic.py live`: the service's own address.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def split(service: dict[str, Any]) -> str:
    """Return "revision=percent,…"; empty where no revision has traffic yet."""
    targets = service["status"].get("traffic", [])
    return ",".join(f"{target['revisionName']}={target['percent']}" for target in targets if target.get("percent"))


def candidate(service: dict[str, Any]) -> str:
    """Return the address; raises LookupError where no revision has the tag."""
    for target in service["status"].get("traffic", []):
        if target.get("tag") == "candidate":
            return str(target["url"])
    raise LookupError("No revision has the tag candidate: deploy_site has to run first.")


def live(service: dict[str, Any]) -> str:
    return str(service["status"]["url"])


ANSWERS = {"split": split, "candidate": candidate, "live": live}

if __name__ == "__main__":
    try:
        sys.stdout.write(ANSWERS[sys.argv[1]](json.load(sys.stdin)) + "\n")
    except LookupError as error:
        sys.exit(str(error))

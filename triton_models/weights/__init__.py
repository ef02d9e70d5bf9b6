"""
The weights of the engines: which files they need, whether those are on the model volume, and how they get there.

lock.py       what weights.lock says: entries, their sources and files
shell.py      where the volume is, and how commands about it are typed
volume.py     whether an entry is on the volume and right
licences.py   which licences somebody must have accepted by name
fetching.py   puts entries on the volume; from wheels.py and, over HTTP, downloads.py
pinning.py    asks the model hub what an entry should pin
bars.py       how far a fetch has come, for people
"""

from triton_models.weights.fetching import fetch
from triton_models.weights.licences import refuse_unknown
from triton_models.weights.lock import LockedFile, LockedWeights, read_lock
from triton_models.weights.shell import model_volume
from triton_models.weights.volume import Finding, Standing, inspect, problem, verified_folder

__all__ = [
    "Finding",
    "LockedFile",
    "LockedWeights",
    "Standing",
    "fetch",
    "inspect",
    "model_volume",
    "problem",
    "read_lock",
    "refuse_unknown",
    "verified_folder",
]

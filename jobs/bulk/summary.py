"""What a bulk run has done so far: counts alone, whatever the number of jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Summary:
    """
    The counts of one call.

    made: new jobs of this call. made_before: jobs that an earlier call of the same run had made. skipped: by reason.
    failed: by error code, jobs that were not made or, where they are waited for, did not complete. credits: held for
    the jobs made. completed and charged (credits): only where they are waited for.
    """

    run: str
    made: int = 0
    made_before: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    credits: int = 0
    completed: int = 0
    charged: int = 0
    seconds: float = 0.0
    # Why it ended before its end; empty when it did not.
    broken_off: str = ""

    @property
    def well(self) -> bool:
        return not self.failed and not self.broken_off

    @property
    def line(self) -> str:
        """The counts that are not zero, for a progress bar."""
        counts = {
            "made": self.made,
            "made before": self.made_before,
            "completed": self.completed,
            "skipped": self.skipped.total(),
            "failed": self.failed.total(),
        }
        return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "nothing yet"

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "skipped": dict(self.skipped), "failed": dict(self.failed), "ok": self.well}

    def in_words(self, *, waited: bool) -> str:
        lines = [
            f"Made {_jobs(self.made)} for {_credits(self.credits)} in {self.seconds:,.1f} seconds. Run: {self.run}"
        ]
        if self.made_before:
            lines.append(f"Made before by this run, and left as they are: {self.made_before:,}")
        if waited:
            lines.append(f"Completed of the whole run: {self.completed:,}, charged {_credits(self.charged)}")
        lines += [f"{name}: {_by_reason(counts)}" for name, counts in self._counted() if counts]
        if self.broken_off:
            lines.append(self.broken_off)
        return "\n".join(lines)

    def _counted(self) -> list[tuple[str, Counter[str]]]:
        return [("Skipped", self.skipped), ("Failed", self.failed)]


def _by_reason(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def _jobs(count: int) -> str:
    return f"{count:,} job{'s'[: count != 1]}"


def _credits(count: int) -> str:
    return f"{count:,} credit{'s'[: count != 1]}"

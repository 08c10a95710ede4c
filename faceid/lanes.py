"""Whose turn it is in a lane, and how long its jobs take. Knows no lock and no work: `jobs` holds them."""

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceid.jobs import Job

RECENT_JOBS = 10


class Lane:
    """The waiting jobs of one pipeline by owner, in the order of their turns, and the one that runs."""

    def __init__(self, seconds_per_job: float):
        self.turns: OrderedDict[str, deque[Job]] = OrderedDict()
        self.running: Job | None = None
        self.started = 0.0
        self.seconds_per_job = seconds_per_job
        self.finished = 0
        self.thread: threading.Thread | None = None

    def order(self) -> list["Job"]:
        """The waiting jobs in the order in which they will start."""
        turns = [list(jobs) for owner, jobs in self.turns.items() if not self.running or owner != self.running.owner]
        if self.running and self.running.owner in self.turns:
            turns.append(list(self.turns[self.running.owner]))
        longest = max(map(len, turns), default=0)
        return [jobs[turn] for turn in range(longest) for jobs in turns if turn < len(jobs)]

    def remove(self, job: "Job") -> None:
        """Take a waiting job out."""
        self.turns[job.owner].remove(job)
        if not self.turns[job.owner]:
            del self.turns[job.owner]

    def measure(self, seconds: float) -> None:
        """Take a finished job's duration into the running mean of about the last ten; the first replaces the guess."""
        self.finished += 1
        self.seconds_per_job += (seconds - self.seconds_per_job) / min(self.finished, RECENT_JOBS)

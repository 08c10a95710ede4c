"""What memory this process takes; as a script, what the reading of a photo takes, as a JSON object of MB."""

import json
import os
import re
import sys
from pathlib import Path

MEGABYTE = 2**20


def resident() -> float:
    """MB of this process that lie in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def peak() -> float:
    """The most MB that lay in memory since `reset_peak`."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def measure_reading(file: Path) -> dict[str, object]:
    """The picture's shape, and the MB that its reading took at most and did not give back."""
    from faceid.domain import Upload
    from faceid.faces.photos import read_photo

    upload = Upload(file.name, file.read_bytes())
    reset_peak()
    before = resident()
    shape = read_photo(upload).shape
    return {"shape": shape, "most": peak() - before, "left": resident() - before}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_reading(Path(sys.argv[1]))))

"""The app's storage until it is killed: `python tests/backed_up.py FOLDER BACKUP SEED`.

Prints a line for each thing that is done: `+ID` a tune was made, `-ID` it was deleted, `safe` all so far is backed up.
"""

import random
import sys
from pathlib import Path

from tunes_kept import KEY, make_photo, make_tokens

from faceid.backup import Backup
from faceid.domain import Tune
from faceid.store import DATABASE_FILE, TuneStore

INTERVAL = 0.05  # seconds


def live(folder: Path, backup_dir: Path, seed: int) -> None:
    """Make, delete and wait, in an order of chance."""
    dice = random.Random(seed)
    backup = Backup(folder / DATABASE_FILE, backup_dir, interval=INTERVAL)
    backup.restore_if_empty()
    store = TuneStore.open(folder)
    kept: list[int] = []
    for number in range(100_000):
        if kept and dice.random() < 0.3:
            tune_id = kept.pop(dice.randrange(len(kept)))
            say(f"?{tune_id}")
            store.delete_tune("owner", tune_id)
            backup.replace_now()
            say(f"-{tune_id}")
        else:
            photo = make_photo(number, size=100_000)
            tune = Tune(id=0, owner="owner", title=f"tune {number}", name="man")
            tune, _ = store.add_tune(tune, [photo], {KEY: make_tokens(number)})
            backup.touch()
            kept.append(tune.id)
            say(f"+{tune.id}")
        if dice.random() < 0.5:
            backup.written.wait()
            say("safe")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    live(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

"""Callbacks: whoever asked for it is told, by one POST, that a tune or prompt is done. Kept in the store's database.

A callback outlives restarts and never its tune or prompt; it is gone once it was delivered or has failed three times.
Delivery is at least once: a process that is killed after a POST, before it wrote that down, leaves it to be sent again.
Knows the tables, and HTTP by the `post` that it is given.
"""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from faceid.database import Database
from faceid.domain import now
from faceid.errors import BadURL, FaceIDError, trace_of
from faceid.rows import free_id
from faceid.schema import callbacks, prompts, tunes

logger = logging.getLogger(__name__)

TRIES = 3
FIRST_WAIT = timedelta(seconds=15)
WAIT_GROWTH = 4
LEASE = timedelta(minutes=2)  # more than a POST may take: after it, the process that began it is taken for dead
LONGEST_IDLE_SECONDS = 60.0
CLOSE_SECONDS = 30.0

Post = Callable[[str, bytes, Mapping[str, str]], int]


class Callbacks:
    """Keeps callbacks and delivers them, by a few threads once `start` is called.

    `post(url, body, headers)` gives a status or raises BadURL, in less than `LEASE`; `secret` signs the bodies. Of an
    owner's callbacks one at a time is under way, so that slow receivers of one make nobody else wait.
    """

    def __init__(
        self,
        database: Database,
        post: Post,
        *,
        secret: str | None = None,
        clock: Callable[[], datetime] = now,
        workers: int = 4,
    ):
        self._database, self._post, self._clock = database, post, clock
        self._secret = secret.encode() if secret else None
        self._changed = threading.Condition()
        self._changes = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._deliver_until_closed, name=f"callbacks {i}", daemon=True)
            for i in range(workers)
        ]

    def start(self) -> None:
        """Deliver from now on, beginning with what an earlier process left."""
        for thread in self._threads:
            thread.start()

    def announce(self, owner: str, url: str, body: Mapping[str, Any]) -> None:
        """Keep a callback: `body`, the JSON object of a tune or prompt of the owner, will be posted to `url`.

        The `id` in it says of which. One that was deleted meanwhile is announced to nobody, and one that waits to be
        posted there already is not posted twice. StorageFull.
        """
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        with self._database.writing() as connection:
            of = [
                (link, connection.scalar(select(table.c.id).where(table.c.id == body["id"], table.c.owner == owner)))
                for link, table in ((callbacks.c.tune_id, tunes), (callbacks.c.prompt_id, prompts))
            ]
            links = {link.name: found for link, found in of if found is not None}
            waiting = select(callbacks.c.id).where(callbacks.c.url == url, *(link == found for link, found in of))
            if not links or connection.scalar(waiting) is not None:
                return
            row = {"id": free_id(connection, callbacks, 0), "owner": owner, "url": url, "body": content, "tries": 0}
            connection.execute(insert(callbacks), row | links | {"due_at": self._clock()})
        self._wake()

    def deliver_due(self) -> int:
        """Try every callback that is due now, in this thread; how many were tried."""
        count = 0
        while self._deliver_next():
            count += 1
        return count

    def close(self) -> None:
        """Stop; what is not delivered stays for the next process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(CLOSE_SECONDS)

    def _deliver_until_closed(self) -> None:
        while not self._closed:
            changes = self._changes
            try:
                if self._deliver_next():
                    continue
                idle = self._seconds_to_next()
            except (FaceIDError, SQLAlchemyError) as error:  # the disk is full, the database is busy
                logger.error("callbacks wait for a minute: %s", type(error).__name__)
                idle = LONGEST_IDLE_SECONDS
            with self._changed:
                self._changed.wait_for(lambda before=changes: self._closed or self._changes != before, idle)

    def _deliver_next(self) -> bool:
        """Try the callback that has been due the longest; whether there was one."""
        row = self._claim()
        if row is None:
            return False
        failure = self._try(row)
        with self._database.writing() as connection:
            mine = callbacks.c.id == row.id
            if failure and row.tries + 1 < TRIES:
                due = self._clock() + FIRST_WAIT * WAIT_GROWTH**row.tries
                again = {"tries": row.tries + 1, "due_at": due, "leased_until": None}
                connection.execute(update(callbacks).where(mine).values(again))
            else:
                connection.execute(delete(callbacks).where(mine))
        if failure:
            logger.warning(
                "callback of %d, try %d of %d: %s", row.tune_id or row.prompt_id, row.tries + 1, TRIES, failure
            )
        self._wake()
        return True

    def _claim(self) -> Row | None:
        """A callback that is due, leased to this thread; of an owner who has none under way."""
        moment = self._clock()
        busy = select(callbacks.c.owner).where(callbacks.c.leased_until > moment)
        due = select(callbacks).where(callbacks.c.due_at <= moment, callbacks.c.owner.not_in(busy))
        with self._database.writing() as connection:
            row = connection.execute(due.order_by(callbacks.c.due_at, callbacks.c.id).limit(1)).first()
            if row is not None:
                leased = update(callbacks).where(callbacks.c.id == row.id)
                connection.execute(leased.values(leased_until=moment + LEASE))
        return row

    def _try(self, row: Row) -> str | None:
        """Post it; what went wrong, without a word of the body or of the URL beyond its host."""
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["X-FaceID-Signature"] = sign(self._secret, row.body)
        try:
            status = self._post(row.url, row.body, headers)
        except BadURL as error:
            return str(error)
        except Exception as error:  # as in the job loop: no callback's failure ends the delivery of others
            logger.error("a callback failed: %s", trace_of(error))
            return type(error).__name__
        return None if 200 <= status < 300 else f"answered with status {status}"

    def _seconds_to_next(self) -> float:
        """How long nothing becomes due: 1 to 60 seconds. Until then a change wakes the threads."""
        free_at = func.coalesce(callbacks.c.leased_until, callbacks.c.due_at)
        with self._database.reading() as connection:
            first = connection.scalar(select(free_at).order_by(free_at).limit(1))
        seconds = (first - self._clock()).total_seconds() if first else LONGEST_IDLE_SECONDS
        return min(max(seconds, 1.0), LONGEST_IDLE_SECONDS)

    def _wake(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()


def sign(secret: bytes, body: bytes) -> str:
    """The header's value that proves a body came from who knows the secret: sha256=<HMAC-SHA256, hexadecimal>."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"

"""The use cases: photos become a tune, a prompt becomes pictures. Knows protocols; never torch, gradio or HTTP.

What it needs is passed in: a store, a face reader, identity encoders, a function that paints, a queue. Everything a
caller can get wrong is checked here, before the work reaches a queue or a GPU.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from faceid.base_models import BaseModel
from faceid.domain import Tune, TuneFields, Upload, now
from faceid.errors import PhotoProblem
from faceid.identities import Identities, PhotoCheck
from faceid.loading import Loading
from faceid.protocols import Backup, Paint
from faceid.resuming import ResumingStudio
from faceid.validation import (
    check_characteristics,
    check_class_name,
    check_title,
    check_tune_fields,
    check_uploads,
)

if TYPE_CHECKING:
    from faceid.jobs import Job, JobQueue
    from faceid.store import TuneStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CreatedTune:
    """A tune, whether it is new, and what its owner should know of single photos."""

    tune: Tune
    created: bool
    warnings: tuple[PhotoProblem, ...] = ()


class Studio(ResumingStudio):
    """The use cases, for every way in (page, gradio_client, HTTP). `owner` is the caller's, already established."""

    def __init__(
        self,
        *,
        store: "TuneStore",
        loading: Loading,
        paint: Paint,
        jobs: "JobQueue",
        base_models: Sequence[BaseModel],
        measures_likeness: bool = True,
        keep_photos: bool = True,
        titles_decide: bool = False,
        backup: Backup | None = None,
        forget: Callable[[], None] | None = None,
    ):
        """`base_models`: those loaded now or soon, the default first; `forget` is called when tunes are gone: whoever
        paints drops what it keeps of identities. What needs the models waits for `loading`."""
        self._store, self._paint, self._jobs = store, paint, jobs
        self._loading, self._identities, self.measures_likeness = loading, Identities(loading), measures_likeness
        self.loaded_models = tuple(base_models)
        self._keep_photos, self._titles_decide, self._backup = keep_photos, titles_decide, backup
        self._forget = forget or (lambda: None)
        self._jobs_of_prompts: WeakValueDictionary[int, Job] = WeakValueDictionary()  # the queue keeps them alive

    @property
    def is_ready(self) -> bool:
        """Whether the models are loaded."""
        return self._loading.done

    # Tunes

    def check_photos(self, photos: Sequence[Upload]) -> list[PhotoCheck]:
        """Look at each photo by itself: its aligned face, or what is wrong with it."""
        return [self._identities.check_photo(photo) for photo in photos]

    def create_tune(self, owner: str, photos: Sequence[Upload], fields: TuneFields) -> CreatedTune:
        """A tune from 1 to 20 photos of one person, ready at once.

        The same owner, title and photos give the existing tune, and no face model runs. InvalidRequest names the field,
        InvalidPhotos every photo that cannot be used.
        """
        fields = check_tune_fields(fields)
        check_uploads(photos)
        self.delete_expired()
        by_hash = {hashlib.sha256(photo.content).hexdigest(): photo for photo in photos}
        existing = self._store.find_tune(owner, fields.title, None if self._titles_decide else by_hash)
        if existing:
            return CreatedTune(existing, created=False)
        model = self.loaded_models[0]
        encoded = self._identities.encode(
            by_hash, model, keep_photos=self._keep_photos, allow_different_people=fields.allow_different_people
        )
        tune = Tune(
            id=0,
            owner=owner,
            title=fields.title,
            name=fields.name,
            token=fields.token,
            branch=fields.branch or model.branch,
            base_tune_id=fields.base_tune_id,
            callback=fields.callback,
            is_api=fields.is_api,
            characteristics=fields.characteristics,
            options=fields.options,
            consent_at=now(),
            consent_route=fields.consent_route,
            num_photos=len(by_hash),
            photos_kept=self._keep_photos,
        )
        tune, created = self._store.add_tune(
            tune, encoded.photos, {encoded.key: encoded.tokens}, titles_decide=self._titles_decide
        )
        self._changed()
        logger.info("tune %d made; photos: %d", tune.id, len(by_hash))
        return CreatedTune(tune, created, encoded.warnings)

    def get_tune(self, owner: str, tune_id: int) -> Tune:
        """The owner's tune, or NotFound."""
        return self._store.get_tune(owner, tune_id)

    def list_tunes(self, owner: str, **filters) -> list[Tune]:
        """The owner's tunes, newest first; `filters` as in TuneStore.list_tunes."""
        self.delete_expired()
        return self._store.list_tunes(owner, **filters)

    def thumbnail(self, owner: str, tune_id: int) -> bytes:
        """The tune's first face, aligned: a 256 px WebP."""
        return self._store.thumbnail(owner, tune_id)

    def update_tune(
        self,
        owner: str,
        tune_id: int,
        *,
        title: str | None = None,
        name: str | None = None,
        characteristics: Mapping[str, object] | None = None,
    ) -> Tune:
        """Change what is given; InvalidRequest names the field, NotFound as `get_tune`."""
        changes: dict[str, object] = {}
        if title is not None:
            changes["title"] = check_title(title)
        if name is not None:
            changes["name"] = check_class_name(name)
        if characteristics is not None:
            changes["characteristics"] = check_characteristics(characteristics)
        tune = self._store.update_tune(owner, tune_id, **changes)
        self._changed()
        return tune

    def delete_tune(self, owner: str, tune_id: int) -> None:
        """Remove the tune, its photos and vectors, the prompts and pictures drawn from it, and the backup of them."""
        self._store.delete_tune(owner, tune_id)
        self._cancel_deleted()
        self._forget()
        self._changed(deleted=True)
        logger.info("tune %d deleted", tune_id)

    def delete_expired(self, moment: datetime | None = None) -> None:
        """Remove what has passed its 30 days at `moment` (default: now)."""
        if self._store.delete_expired(moment):
            self._cancel_deleted()
            self._forget()
            self._changed()

    def photo(self, tune_id: int, position: int) -> bytes:
        """A photo of a tune (from 0) as it was uploaded, for whoever knows its address; NotFound where it is gone."""
        return self._store.photo(tune_id, position)

    def _changed(self, *, deleted: bool = False) -> None:
        if self._backup:
            self._backup.replace_now() if deleted else self._backup.touch()

"""The use cases: photos become a tune, a prompt becomes pictures. Knows protocols; never torch, gradio or HTTP.

What it needs is passed in: a store, a face reader, identity encoders, a function that paints, a queue. Everything a
caller can get wrong is checked here, before the work reaches a queue or a GPU.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from faceid.base_models import BASE_MODELS, DEFAULT_ALIAS, BaseModel, find_base_model
from faceid.domain import Prompt, PromptFields, Tune, TuneFields, Upload, WeightedIdentity, now
from faceid.drawing import Generation, draw_prompt
from faceid.errors import InvalidRequest, PhotoProblem, QueueFull, Unavailable
from faceid.identities import Identities, PhotoCheck
from faceid.limits import LIMITS
from faceid.planning import count_pictures, describe_request, notes_on, plan_generation
from faceid.prompt_syntax import fill_characteristics, parse_prompt
from faceid.protocols import Backup, FaceReader, IdentityEncoder, Judge, Measure, Paint
from faceid.validation import check_text, check_tune_fields, check_uploads

if TYPE_CHECKING:
    import numpy as np

    from faceid.jobs import Job, JobQueue
    from faceid.store import TuneStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CreatedTune:
    """A tune, whether it is new, and what its owner should know of single photos."""

    tune: Tune
    created: bool
    warnings: tuple[PhotoProblem, ...] = ()


class Studio:
    """The use cases, for every way in (page, gradio_client, HTTP). `owner` is the caller's, already established."""

    def __init__(
        self,
        *,
        store: "TuneStore",
        faces: FaceReader,
        encoders: Mapping[str, IdentityEncoder],
        paint: Paint,
        jobs: "JobQueue",
        base_models: Sequence[BaseModel],
        judge: Judge | None = None,
        keep_photos: bool = True,
        titles_decide: bool = False,
        backup: Backup | None = None,
        forget: Callable[[], None] | None = None,
    ):
        """`encoders` by adapter; `base_models`: those loaded, the default first; no `judge`: likeness is off; `forget`
        is called when tunes are gone: whoever paints drops what it keeps of identities."""
        self._store, self._paint, self._jobs = store, paint, jobs
        self._identities, self.measures_likeness = Identities(faces, encoders, judge), judge is not None
        self.loaded_models = tuple(base_models)
        self._keep_photos, self._titles_decide, self._backup = keep_photos, titles_decide, backup
        self._forget = forget or (lambda: None)
        self._jobs_of_prompts: WeakValueDictionary[int, Job] = WeakValueDictionary()  # the queue keeps them alive
        store.fail_unfinished("The app was restarted before this was drawn. Send it again.")

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
        )
        tune, created = self._store.add_tune(
            tune, encoded.photos, {encoded.key: encoded.tokens}, titles_decide=self._titles_decide
        )
        self._changed()
        log.info("tune %d made from %d photos", tune.id, len(by_hash))
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

    def delete_tune(self, owner: str, tune_id: int) -> None:
        """Remove the tune, its photos and vectors, the prompts and pictures drawn from it, and the backup of them."""
        self._store.delete_tune(owner, tune_id)
        self._forget()
        self._changed(deleted=True)
        log.info("tune %d deleted", tune_id)

    def delete_expired(self) -> None:
        """Remove what has passed its 30 days."""
        if self._store.delete_expired():
            self._forget()
            self._changed()

    # Pictures

    def generate(self, owner: str, fields: PromptFields) -> Generation:
        """Check everything, remember the prompt, and put the drawing in the queue; the events come from the result."""
        # 1. What was written, and whom it names
        parsed = parse_prompt(check_text("text", fields.text, most=int(LIMITS["text"].high), lines=True))
        person = parsed.person()
        tune = self._store.get_tune(owner, person.tune_id) if person else None
        prompt_text = fill_characteristics(parsed.text, tune.characteristics if tune else {})
        if tune and not prompt_text:
            prompt_text = tune.name
        # 2. What draws it, and the identity in its words
        model = self.select_base_model(fields.base_model)
        identities = [WeightedIdentity(self._tokens_of(tune, model), person.strength)] if tune else []
        # 3. The request, every range checked
        request = plan_generation(fields, model, prompt_text, identities, seed=secrets.randbelow(2**32))
        kept, drawn = count_pictures(fields)
        # 4. Who judges the pictures
        measure = self._measure_for(tune, choosing=drawn > kept) if tune else None
        # 5. Remembered, then queued
        prompt = self._store.add_prompt(
            Prompt(
                id=0,
                owner=owner,
                text=fields.text.strip(),
                base_model=model.slug,
                tune_ids=(tune.id,) if tune else (),
                parameters=describe_request(fields, request, model),
            )
        )
        try:
            work = partial(draw_prompt, prompt, request, self._paint, self._store, measure=measure, keep=kept)
            job = self._jobs.submit(owner, model.lane, work)
        except QueueFull:
            self._store.delete_prompt(owner, prompt.id)
            raise
        self._jobs_of_prompts[prompt.id] = job
        return Generation(prompt, request, notes_on(fields, request, model), job, self._store)

    def cancel(self, owner: str, prompt_id: int) -> None:
        """Stop the owner's prompt: at once while it waits, within a step while it is drawn; one that ended stays so."""
        self._store.get_prompt(owner, prompt_id)
        if job := self._jobs_of_prompts.get(prompt_id):
            job.cancel()
        self._store.fail_prompt(prompt_id, "Cancelled.", status="cancelled")

    # Base models

    def select_base_model(self, name: str | int | None) -> BaseModel:
        """The loaded base model of that slug or tune id; None and the alias 690204 give the default."""
        if name is None or str(name).strip() in ("", str(DEFAULT_ALIAS)):
            return self.loaded_models[0]
        model = find_base_model(name)
        if model not in self.loaded_models:
            loaded = ", ".join(f"{m.slug} ({m.tune_id})" for m in self.loaded_models)
            raise Unavailable(
                f"base_model: {model.slug} is not loaded here. Loaded: {loaded}. "
                "FACEID_BASE_MODELS says what is loaded at start."
            )
        return model

    def base_models(self) -> list[tuple[BaseModel, bool]]:
        """Every known base model, and whether it is loaded; the default first."""
        rest = [model for model in BASE_MODELS if model not in self.loaded_models]
        return [(model, True) for model in self.loaded_models] + [(model, False) for model in rest]

    def _tokens_of(self, tune: Tune, model: BaseModel) -> "np.ndarray":
        """The tune's identity tokens (1, N, D) for this model; encoded from the kept photos where they are missing."""
        key = self._identities.key_for(model)
        tokens = self._store.tokens(tune.owner, tune.id, key)
        if tokens is None:
            tokens = self._identities.encode_again(tune, self._store.photos(tune.owner, tune.id), model)
            self._store.add_tokens(tune.owner, tune.id, key, tokens)
            self._changed()
        return tokens

    def _measure_for(self, tune: Tune, *, choosing: bool) -> Measure | None:
        """Judges pictures of this person; None where likeness is off. Vectors that are missing come from kept photos.

        Where pictures are to be chosen by it: Unavailable if likeness is off, InvalidRequest if there is no vector.
        """
        judge = self._identities.judge
        if judge is None:
            if choosing:
                raise Unavailable("best_of: likeness is not measured here (FACEID_LIKENESS), so none can be chosen.")
            return None
        references = self._store.vectors(tune.owner, tune.id, judge.name)
        if not references:
            found = self._identities.judge_again(self._store.photos(tune.owner, tune.id))
            if found:
                self._store.add_vectors(tune.owner, tune.id, judge.name, found)
                self._changed()
            references = list(found.values())
        if choosing and not references:
            raise InvalidRequest(
                f"best_of: the tune {tune.id} has nothing to compare pictures with, for its photos were not kept. "
                "Create it again, or leave best_of out.",
                field="best_of",
            )
        return partial(judge.measure, references=references)

    def _changed(self, *, deleted: bool = False) -> None:
        if self._backup:
            self._backup.replace_now() if deleted else self._backup.touch()

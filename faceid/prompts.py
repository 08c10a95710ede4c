"""The use cases of prompts: asked for, drawn, listed, cancelled, drawn again after a restart. `Studio` builds on it.

Knows protocols; never torch, gradio or HTTP.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, Note, Prompt, PromptFields, Tune, WeightedIdentity
from faceid.drawing import Generation, draw_prompt
from faceid.errors import InvalidRequest, Unavailable, UserError
from faceid.finishes import Finishing
from faceid.finishing_plan import plan_finishing
from faceid.gallery import Gallery
from faceid.identities import Identities, mean_direction
from faceid.limits import LIMITS
from faceid.loading import Loading
from faceid.planning import check_finishing, count_pictures, describe_request, notes_on, plan_generation
from faceid.prompt_syntax import fill_characteristics, parse_prompt
from faceid.protocols import Measure, Paint, ReferenceReader
from faceid.remembering import fingerprint_request, remember_request
from faceid.styles import add_style
from faceid.validation import check_kinds, check_text

if TYPE_CHECKING:
    import numpy as np

    from faceid.jobs import Job, JobQueue
    from faceid.store import TuneStore


@dataclass(frozen=True, eq=False)
class Plan:
    """A prompt that was checked: what is drawn, by which model, of whom; how many are kept, and who judges them."""

    fields: PromptFields
    request: GenerationRequest
    model: BaseModel
    tune: Tune | None
    kept: int
    measure: Measure | None
    notes: tuple[Note, ...]


class PromptStudio(Gallery):
    """What can be done with prompts. `Studio` has what it stands on, and what can be done with tunes."""

    _store: "TuneStore"
    _jobs: "JobQueue"
    _paint: Paint
    _loading: Loading
    _identities: Identities
    _jobs_of_prompts: "WeakValueDictionary[int, Job]"

    def generate(self, owner: str, fields: PromptFields) -> Generation:
        """Check everything, remember the prompt, and put the drawing in the queue; the events come from the result.

        NotReady while the models are being loaded, for longer than a caller should wait.
        """
        plan = self._plan(owner, fields)
        prompt = self._store.add_prompt(_new_prompt(owner, plan))
        return Generation(prompt, plan.request, self._queue_or_forget(prompt, plan), self._store)

    def request_pictures(self, owner: str, fields: PromptFields, *, origin: str) -> Prompt:
        """As `generate`, for a caller who comes back later: the prompt, as it is stored.

        With a seed, exactly the same fields give the prompt that is there already, unless it failed. `origin` is the
        address that the caller knows this app by.
        """
        plan = self._plan(owner, fields)
        prompt, added = self._store.add_prompt_once(_new_prompt(owner, plan, origin))
        if added:
            self._queue_or_forget(prompt, plan)
        return prompt

    def get_prompt(self, owner: str, prompt_id: int) -> Prompt:
        """The owner's prompt, or NotFound."""
        return self._store.get_prompt(owner, prompt_id)

    def list_prompts(self, owner: str, **filters) -> list[Prompt]:
        """The owner's prompts, newest first; `filters` as in PromptStore.list_prompts."""
        return self._store.list_prompts(owner, **filters)

    def picture_path(self, name: str) -> Path:
        """The file of a picture by its name, which nobody guesses; NotFound."""
        return self._store.picture_path(name)

    def cancel(self, owner: str, prompt_id: int) -> None:
        """Stop the owner's prompt: at once while it waits, within a step while it is drawn; one that ended stays so."""
        prompt = self._store.get_prompt(owner, prompt_id)
        if job := self._jobs_of_prompts.get(prompt_id):
            job.cancel()
        self._store.fail_prompt(prompt_id, "Cancelled.", status="cancelled")
        self._ended(prompt)  # the work, which tells it otherwise, may never begin

    def delete_prompt(self, owner: str, prompt_id: int) -> Prompt:
        """Remove the owner's prompt with its pictures, and stop it where it is drawn; what it was."""
        prompt = self._store.get_prompt(owner, prompt_id)
        if job := self._jobs_of_prompts.get(prompt_id):
            job.cancel()
        self._store.delete_prompt(owner, prompt_id)
        self._changed(deleted=True)
        return prompt

    # From fields to a job

    def _plan(self, owner: str, fields: PromptFields, words: str | None = None) -> Plan:
        """Everything checked, in numbered steps; `words` are the prompt's without tags, where they were filled in."""
        # 1. What was written, and whom it names
        check_kinds(fields)
        parsed = parse_prompt(check_text("text", fields.text, most=int(LIMITS["text"].high), lines=True))
        person = parsed.person()
        tune = self._store.get_tune(owner, person.tune_id) if person else None
        if words is None:
            words = fill_characteristics(parsed.text, tune.characteristics if tune else {})
            words = add_style(words or (tune.name if tune else ""), fields.style)
        # 2. What draws it, and the request, every range checked, before anything waits for models
        model = self.select_base_model(fields.base_model)
        people = [WeightedIdentity(None, person.strength)] if tune else []
        request = plan_generation(fields, model, words, people, secrets.randbelow(2**32))
        kept, drawn = count_pictures(fields)
        # 3. The identity in the model's words, and what is done to its pictures
        self._loading.wait()
        identities = tuple(replace(one, tokens=self._tokens_of(tune, model)) for one in people)
        finishing, left_out = self._plan_finishing(check_finishing(fields), model, tune)
        request = replace(request, identities=identities, finishing=finishing)
        # 4. Who judges the pictures
        measure = self._measure_for(tune, choosing=drawn > kept) if tune else None
        return Plan(fields, request, model, tune, kept, measure, (*notes_on(fields, request, model), *left_out))

    def _queue_or_forget(self, prompt: Prompt, plan: Plan) -> "Job":
        try:
            return self._queue(prompt, plan)
        except UserError:  # no room, or the app is being closed
            self._store.delete_prompt(prompt.owner, prompt.id)
            raise

    def _queue(self, prompt: Prompt, plan: Plan, *, again: bool = False) -> "Job":
        work = partial(self._work, prompt, plan)
        job = self._jobs.submit(prompt.owner, plan.model.lane, work, again=again)
        self._jobs_of_prompts[prompt.id] = job
        return job

    def _work(self, prompt: Prompt, plan: Plan) -> Iterator:
        try:
            yield from draw_prompt(prompt, plan.request, self._paint, self._store, measure=plan.measure, keep=plan.kept)
        finally:
            self._ended(prompt)

    def _cancel_deleted(self) -> None:
        """Stop what is drawn for prompts that are gone, with a tune that they named."""
        for reference in self._jobs_of_prompts.valuerefs():  # a list: others queue meanwhile
            job = reference()
            if job and not self._store.find_prompt(reference.key):
                job.cancel()

    def _ended(self, prompt: Prompt) -> None:
        """The work on the prompt is over."""

    def _changed(self, *, deleted: bool = False) -> None:
        """What is kept has changed: a backup follows."""

    def _tokens_of(self, tune: Tune, model: BaseModel) -> "np.ndarray":
        """The tune's identity tokens (1, N, D) for this model; encoded from the kept photos where they are missing."""
        key = self._identities.key_for(model)
        tokens = self._store.tokens(tune.owner, tune.id, key)
        if tokens is None:
            tokens = self._identities.encode_again(tune, self._store.photos(tune.owner, tune.id), model)
            self._store.add_tokens(tune.owner, tune.id, key, tokens)
            self._changed()
        return tokens

    def _plan_finishing(
        self, fields: PromptFields, model: BaseModel, tune: Tune | None
    ) -> tuple[Finishing, tuple[Note, ...]]:
        """What is done to the pictures; what cannot be done is a note."""
        models = self._identities.models
        vector = None
        if fields.face_swap and tune and models.swap_reader:
            vectors = self._vectors_of(tune, models.swap_reader)
            vector = mean_direction(vectors) if vectors else None
        return plan_finishing(fields, model, missing=models.missing, person=tune is not None, swap_vector=vector)

    def _vectors_of(self, tune: Tune, reader: ReferenceReader) -> "list[np.ndarray]":
        """The reader's vectors of the tune's photos; those that are missing come from photos that were kept, or not."""
        vectors = self._store.vectors(tune.owner, tune.id, reader.name)
        if not vectors:
            found = self._identities.embed_again(self._store.photos(tune.owner, tune.id), reader)
            if found:
                self._store.add_vectors(tune.owner, tune.id, reader.name, found)
                self._changed()
            vectors = list(found.values())
        return vectors

    def _measure_for(self, tune: Tune, *, choosing: bool) -> Measure | None:
        """Judges pictures of this person; None where likeness is off.

        Where pictures are to be chosen by it: Unavailable if likeness is off, InvalidRequest if there is no vector.
        """
        judge = self._identities.judge
        if judge is None:
            if choosing:
                raise Unavailable("best_of: likeness is not measured here (FACEID_LIKENESS), so none can be chosen.")
            return None
        references = self._vectors_of(tune, judge)
        if choosing and not references:
            raise InvalidRequest(
                f"best_of: the tune {tune.id} has nothing to compare pictures with, for its photos were not kept. "
                "Create it again, or leave best_of out.",
                field="best_of",
            )
        return partial(judge.measure, references=references)


def _new_prompt(owner: str, plan: Plan, origin: str | None = None) -> Prompt:
    """The prompt as it is stored; the request with it, to be drawn again after a restart."""
    return Prompt(
        id=0,
        owner=owner,
        text=plan.fields.text.strip(),
        base_model=plan.model.slug,
        tune_ids=(plan.tune.id,) if plan.tune else (),
        parameters=describe_request(plan.fields, plan.request, plan.model),
        notes=plan.notes,
        request=remember_request(plan.fields, plan.request, plan.model),
        fingerprint=fingerprint_request(plan.fields, plan.model),
        callback=plan.fields.callback,
        origin=origin,
    )

"""The routes of tunes. They translate; what a tune is and whose it is, the studio knows."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from faceid.domain import PromptFields, Tune, Upload
from faceid.errors import FaceIDError, InvalidRequest
from faceid.prompt_syntax import name_person, parse_prompt
from faceid.validation import check_photo_count, check_tune_fields
from faceid.web.rest_context import RestContext, answer_json, carry_quota, origin_of
from faceid.web.rest_fields import TuneChanges, TuneIn
from faceid.web.rest_openapi import BeforeId, Body, Id, Limit, Offset, accepts, refusals
from faceid.web.rest_reading import MOST_BYTES, check_callback, prompt_fields, read_fields, tune_fields
from faceid.web.rest_schemas import TuneOut


def tune_routes(context: RestContext) -> APIRouter:
    """`/tunes` and `/tunes/{id}`.

    What clients poll is read in the event loop: a row takes a third of a millisecond and in SQLite's WAL waits for no
    writer, while the way to a thread and back takes twice as long.
    """
    router = APIRouter(tags=["tunes"], responses=refusals(401, 404, 422))
    studio = context.studio
    Owner = Annotated[str, Depends(context.owner)]

    @router.post("/tunes", status_code=201, response_model=TuneOut, **accepts(TuneIn, "tune", 429, 503, 507))
    def create_tune(request: Request, owner: Owner, body: Body):
        """Make a tune from photos of one person; by calling you assert that this person agreed. It is ready at once.

        The same title and photos give the existing tune.
        """
        carry_quota(request)
        origin = origin_of(request)
        given = read_fields(TuneIn, body, "tune")
        fields = check_tune_fields(tune_fields(given))
        check_callback(fields.callback)
        prompts = [prompt_fields(prompt, given.base_tune_id, context.fetch) for prompt in given.prompts_attributes]
        for prompt in prompts:
            check_callback(prompt.callback)
        created = studio.create_tune(owner, _photos(context, given), fields)
        if created.created:
            _generate_all(context, owner, created.tune, prompts, origin)
        answer = context.tune_json(created.tune, origin)
        if created.created and fields.callback:
            context.announce(owner, fields.callback, answer)
        return answer_json(answer, 201)

    @router.get("/tunes", response_model=list[TuneOut])
    def list_tunes(
        request: Request,
        owner: Owner,
        limit: Limit = 20,
        offset: Offset = 0,
        before_id: BeforeId = None,
        title: Annotated[str | None, Query(description="a part of the title, in any case")] = None,
        name: Annotated[list[str], Query(alias="name[]", description="class words")] = [],  # noqa: B006  FastAPI copies
        model_type: str | None = None,
        branch: str | None = None,
    ):
        """Your tunes, newest first."""
        found = studio.list_tunes(
            owner,
            limit=limit,
            offset=offset,
            before_id=before_id,
            title=title,
            names=name,
            model_type=model_type,
            branch=branch,
        )
        origin = origin_of(request)
        return answer_json([context.tune_json(tune, origin) for tune in found])

    @router.get("/tunes/{tune_id}", response_model=TuneOut)
    async def get_tune(request: Request, owner: Owner, tune_id: Id):
        """One of your tunes."""
        return answer_json(context.tune_json(studio.get_tune(owner, tune_id), origin_of(request)))

    @router.patch("/tunes/{tune_id}", response_model=TuneOut, **accepts(TuneChanges, "tune"))
    def change_tune(request: Request, owner: Owner, tune_id: Id, body: Body):
        """Change title, name or characteristics."""
        changes = read_fields(TuneChanges, body, "tune").model_dump(exclude_none=True)
        return answer_json(context.tune_json(studio.update_tune(owner, tune_id, **changes), origin_of(request)))

    @router.delete("/tunes/{tune_id}", response_model=TuneOut)
    def delete_tune(request: Request, owner: Owner, tune_id: Id):
        """Delete a tune, its photos, and the pictures drawn from it. What it was is answered once more."""
        tune = studio.get_tune(owner, tune_id)
        studio.delete_tune(owner, tune_id)
        return answer_json(context.tune_json(replace(tune, photos_kept=False), origin_of(request)))

    return router


def _photos(context: RestContext, given: TuneIn) -> list[Upload]:
    """The uploaded photos and those that are fetched, which begins when there are not too many of them."""
    check_photo_count(len(given.images) + len(given.image_urls))
    return [*given.images, *(context.fetch(url, MOST_BYTES, field="image_urls") for url in given.image_urls)]


def _generate_all(context: RestContext, owner: str, tune: Tune, prompts: list[PromptFields], origin: str) -> None:
    """Queue a new tune's first prompts, which name it where they name nobody: all of them, or neither them nor it."""
    for number, fields in enumerate(prompts):
        try:
            tags = parse_prompt(fields.text).tags
            text = fields.text if tags else name_person(fields.text, tune.id, tune.name)
            context.studio.request_pictures(owner, replace(fields, text=text), origin=origin)
        except FaceIDError as error:
            context.studio.delete_tune(owner, tune.id)
            if isinstance(error, InvalidRequest):
                field = f"prompts_attributes.{number}.{error.field}"
                raise InvalidRequest(f"prompts_attributes: {error}", field=field) from error
            raise

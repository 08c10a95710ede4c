"""The routes of prompts. They translate; what is drawn, for whom and when, the studio knows."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from faceid.base_models import DEFAULT_ALIAS
from faceid.domain import Prompt
from faceid.errors import InvalidRequest, NotFound
from faceid.prompt_syntax import tag_of
from faceid.web.rest_context import RestContext, answer_json, carry_quota, origin_of
from faceid.web.rest_fields import PromptIn
from faceid.web.rest_openapi import BeforeId, Body, Id, Limit, Offset, accepts, refusals
from faceid.web.rest_reading import check_callback, prompt_fields, read_fields
from faceid.web.rest_schemas import PromptOut


def prompt_routes(context: RestContext) -> APIRouter:
    """`/prompts` and `/tunes/{id}/prompts`, where id is a base model's; what clients poll is read as in rest_tunes."""
    router = APIRouter(tags=["prompts"], responses=refusals(401, 404, 422))
    studio = context.studio
    Owner = Annotated[str, Depends(context.owner)]

    create = {"status_code": 201, "response_model": PromptOut, **accepts(PromptIn, "prompt", 429, 503, 507)}

    @router.post("/tunes/{tune_id}/prompts", **create)
    def create_prompt(request: Request, owner: Owner, tune_id: Id, body: Body):
        """Ask for pictures by a base model, 690204 being this machine's default. The answer comes at once: GET the
        prompt until it is done or failed, or give a callback.

        With a seed, exactly the same request gives the existing prompt.
        """
        carry_quota(request)
        origin = origin_of(request)
        _check_base_model(context, owner, tune_id)
        fields = prompt_fields(read_fields(PromptIn, body, "prompt"), tune_id, context.fetch)
        check_callback(fields.callback)
        return answer_json(context.prompt_json(studio.request_pictures(owner, fields, origin=origin), origin), 201)

    @router.get("/tunes/{tune_id}/prompts", response_model=list[PromptOut])
    def list_prompts_of_tune(
        request: Request, owner: Owner, tune_id: Id, limit: Limit = 20, offset: Offset = 0, before_id: BeforeId = None
    ):
        """Your prompts to a base model, or those that name one of your tunes, newest first."""
        origin, page = origin_of(request), {"limit": limit, "offset": offset, "before_id": before_id}
        model = studio.known_base_model(tune_id)
        narrowed = {"base_model": model.slug} if model else {"tune_id": studio.get_tune(owner, tune_id).id}
        return answer_json(
            [context.prompt_json(prompt, origin) for prompt in studio.list_prompts(owner, **page, **narrowed)]
        )

    @router.get("/prompts", response_model=list[PromptOut])
    def list_prompts(request: Request, owner: Owner, limit: Limit = 20, offset: Offset = 0, before_id: BeforeId = None):
        """All your prompts, newest first."""
        origin = origin_of(request)
        found = studio.list_prompts(owner, limit=limit, offset=offset, before_id=before_id)
        return answer_json([context.prompt_json(prompt, origin) for prompt in found])

    @router.get("/prompts/{prompt_id}", response_model=PromptOut)
    async def get_prompt(request: Request, owner: Owner, prompt_id: Id):
        """One of your prompts: queued, processing, done or failed."""
        return answer_json(context.prompt_json(studio.get_prompt(owner, prompt_id), origin_of(request)))

    @router.get("/tunes/{tune_id}/prompts/{prompt_id}", response_model=PromptOut)
    async def get_prompt_of_tune(request: Request, owner: Owner, tune_id: Id, prompt_id: Id):
        """One of your prompts: queued, processing, done or failed."""
        return answer_json(context.prompt_json(_prompt_of(context, owner, tune_id, prompt_id), origin_of(request)))

    @router.delete("/prompts/{prompt_id}", response_model=PromptOut)
    def delete_prompt(request: Request, owner: Owner, prompt_id: Id):
        """Delete a prompt and its pictures, and stop drawing it. What it was is answered once more."""
        return answer_json(context.prompt_json(studio.delete_prompt(owner, prompt_id), origin_of(request)))

    @router.delete("/tunes/{tune_id}/prompts/{prompt_id}", response_model=PromptOut)
    def delete_prompt_of_tune(request: Request, owner: Owner, tune_id: Id, prompt_id: Id):
        """Delete a prompt and its pictures, and stop drawing it. What it was is answered once more."""
        _prompt_of(context, owner, tune_id, prompt_id)
        return answer_json(context.prompt_json(studio.delete_prompt(owner, prompt_id), origin_of(request)))

    return router


def _check_base_model(context: RestContext, owner: str, tune_id: int) -> None:
    """NotFound where there is nothing of that id; InvalidRequest where it is a faceid tune, with what to use."""
    if context.studio.known_base_model(tune_id):
        return
    tune = context.studio.get_tune(owner, tune_id)
    default = context.studio.loaded_models[0]
    raise InvalidRequest(
        f"tune_id: {tune.id} is a faceid tune, and a base model draws. Send this to /tunes/{default.tune_id}/prompts "
        f"and name the tune in the text: {tag_of(tune.id)} {tune.name}.",
        field="tune_id",
    )


def _prompt_of(context: RestContext, owner: str, tune_id: int, prompt_id: int) -> Prompt:
    """The prompt, where `tune_id` is its base model, the alias of the default one, or a tune in it; NotFound."""
    prompt = context.studio.get_prompt(owner, prompt_id)
    model = context.studio.known_base_model(tune_id)
    if tune_id != DEFAULT_ALIAS and tune_id not in prompt.tune_ids and (not model or model.slug != prompt.base_model):
        raise NotFound(f"There is no prompt {prompt_id} of yours at the tune {tune_id}.")
    return prompt

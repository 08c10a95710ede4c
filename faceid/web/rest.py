"""The HTTP API of the product page, served beside the page by the same launch. Puts the routes together.

It is an application of its own, to which the page's server hands its paths: its refusals, its OpenAPI and its limits
do not touch Gradio's, and Gradio's login cookie means nothing in it.
"""

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from faceid import __version__
from faceid.web.rest_context import RestContext
from faceid.web.rest_errors import Edge, register_handlers
from faceid.web.rest_files import file_routes
from faceid.web.rest_openapi import DESCRIPTION
from faceid.web.rest_prompts import prompt_routes
from faceid.web.rest_tunes import tune_routes

OPENAPI = "/openapi.json"
ROOTS = ("/tunes", "/prompts", "/photos", "/pictures")


def build_http_api(context: RestContext) -> FastAPI:
    """The application with every route of the product, its refusals as JSON, and its OpenAPI."""
    api = FastAPI(
        title="FaceID for Flux",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    register_handlers(api)
    for routes in (tune_routes, prompt_routes, file_routes):
        api.include_router(routes(context))
    _secure(api)
    return api


def launch_routes(api: ASGIApp) -> list[Route]:
    """What `launch(app_kwargs={"routes": …})` takes, so that the page's server hands these paths to `api`."""
    endpoint = PlainPaths(Edge(api))
    paths = [path for root in ROOTS for path in (root, f"{root}.json", f"{root}/{{rest:path}}")]
    return [Route(path, endpoint, include_in_schema=False) for path in (OPENAPI, *paths)]


class PlainPaths:
    """Drops what a path may end in without another meaning: a slash, and `.json`."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path != OPENAPI:
            path = path.rstrip("/").removesuffix(".json")
        await self._app(scope | {"path": path}, receive, send)


def _secure(api: FastAPI) -> None:
    """Say in the OpenAPI that the routes of tunes and prompts take a key."""
    describe = api.openapi

    def with_key() -> dict:
        schema = describe()
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, item in schema["paths"].items():
            for operation in item.values():
                operation["security"] = [{"key": []}] if path.startswith(("/tunes", "/prompts")) else []
        return schema

    api.openapi = with_key

"""Composes the app and launches it: the one place that knows both the engine and the ways in."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import faceid.web.lean_gradio  # noqa: F401  before Gradio

# isort: split
import gradio as gr
import spaces  # noqa: F401  before torch: on ZeroGPU it stands in for CUDA
from huggingface_hub import HfApi
from spaces.config import Config
from starlette.middleware import Middleware

from faceid.backup import Backup
from faceid.base_models import choose_base_models
from faceid.callbacks import Callbacks
from faceid.cuda import has_cuda
from faceid.errors import FaceIDError
from faceid.fetching import Fetcher
from faceid.flux import gpu
from faceid.jobs import JobQueue
from faceid.limits import LIMITS
from faceid.loading import Loading, Models
from faceid.rounds import Rounds
from faceid.settings import Settings
from faceid.store import DATABASE_FILE, PICTURES_FOLDER, TuneStore
from faceid.studio import Studio
from faceid.web.accounts import HubAccounts, can_log_in
from faceid.web.guard import Guard
from faceid.web.notices import Notices
from faceid.web.owners import Owners
from faceid.web.rest import build_http_api, launch_routes
from faceid.web.rest_context import RestContext
from faceid.web.ui import CSS, THEME, build_page
from faceid.web.upload_route import upload_route
from faceid.web.uploads import sweep_uploads, uploads_full


def compose(settings: Settings, resources: ExitStack) -> tuple[gr.Blocks, Callable[[], None]]:
    """The app as Blocks, and what loads the models behind it; what both hold open is closed with `resources`."""
    # 1. Where everything lies
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")  # Gradio's components read it when they are made
    gr.set_static_paths([folder / PICTURES_FOLDER])  # served from where they are: a copy could outlive its tune
    backup = Backup(folder / DATABASE_FILE, settings.backup_dir) if settings.backup_dir else None
    if backup:
        backup.restore_if_empty()
        resources.enter_context(closing(backup))
    store = resources.enter_context(closing(TuneStore.open(folder)))
    # 2. The use cases, and the models that they wait for
    cuda = has_cuda(zero_gpu=Config.zero_gpu)
    base_models = choose_base_models(settings.base_model, settings.base_models, cuda=cuda)
    jobs = resources.enter_context(closing(JobQueue()))
    loading, notices = Loading(), Notices(base_models)
    studio = Studio(
        store=store,
        loading=loading,
        paint=gpu.generate_on_gpu,
        jobs=jobs,
        base_models=base_models,
        measures_likeness=settings.likeness,
        keep_photos=settings.keep_photos,
        titles_decide=settings.idempotent_titles,
        backup=backup,
        forget=gpu.forget,
    )

    def load() -> None:
        # torch, diffusers, insightface: the page does not wait for them
        from faceid.finishing.loading import load_finishing
        from faceid.flux.loading import load_models

        try:
            loaded = load_models(settings, base_models)
            networks = load_finishing(settings, loaded)
        except FaceIDError as error:
            loading.fail(error)
            raise
        encoders = {engine.base_model.adapter: engine.encoder for engine in loaded.engines}
        notices.know(loaded.pack, loaded.judge)
        loading.finish(Models(loaded.faces, encoders, loaded.judge, networks.swap_reader, networks.missing))

    # 3. What is done by nobody's request
    sweep_uploads(older_than=0)  # what a process that was killed left there
    resources.enter_context(closing(Rounds(studio.delete_expired, sweep_uploads)))
    # 4. The ways in: HTTP, which prompts of an earlier process are announced by, and the page
    owners = Owners(
        secret=settings.secret(),
        local=settings.local,
        admitted=settings.api_keys,
        user_of=HubAccounts(HfApi().whoami).user_of,
        login=settings.login and can_log_in(),
    )
    fetcher = Fetcher()
    callbacks = Callbacks(store.database, fetcher.post, secret=settings.callback_secret)
    resources.enter_context(closing(callbacks))
    rest = RestContext(studio, owners, fetcher.fetch, callbacks.announce, settings.secret())
    callbacks.start()
    studio.resume(announce=rest.announce_prompt, redraw=not Config.zero_gpu)
    page = build_page(studio, owners, notices)
    guard = Middleware(Guard, pictures=folder / PICTURES_FOLDER, uploads=folder / "uploads", full=uploads_full)
    page.serve_with(routes=[upload_route(), *launch_routes(build_http_api(rest))], middleware=[guard])
    page.close_after(jobs.close)
    return page.queue(max_size=None, default_concurrency_limit=4), load


LAUNCH = {
    "ssr_mode": False,  # a Node proxy would answer the HTTP API's routes
    "show_error": True,
    "run_history": False,
    "max_file_size": int(LIMITS["photo_bytes"].high),
    "max_threads": 100,
    "theme": THEME,
    "css": CSS,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    with ExitStack() as resources:
        try:
            settings = Settings.from_env()
            demo, load = compose(settings, resources)
            if Config.zero_gpu:
                load()  # the launch forks the workers: what lies on the GPU must lie there before
            demo.launch(server_name=settings.server_name, prevent_thread_lock=True, **LAUNCH)
            resources.callback(demo.close)
            if not Config.zero_gpu:
                load()
        except FaceIDError as error:
            sys.exit(f"FaceID for Flux cannot start: {error}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

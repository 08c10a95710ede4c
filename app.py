"""Composes the app and launches it: the one place that knows both the engine and the ways in."""

import logging
import os
import signal
import sys
from contextlib import ExitStack, closing

import gradio as gr
import spaces  # noqa: F401  before torch: on ZeroGPU it stands in for CUDA
import torch

from faceid.backup import Backup
from faceid.base_models import choose_base_models
from faceid.errors import FaceIDError
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.likeness import load_judge
from faceid.faces.packs import load_face_pack
from faceid.flux import gpu
from faceid.flux.pipeline import load_engines
from faceid.jobs import JobQueue
from faceid.settings import Settings
from faceid.store import DATABASE_FILE, PICTURES_FOLDER, TuneStore
from faceid.studio import Studio
from faceid.web.owners import Owners
from faceid.web.presenting import licences_text, status_text
from faceid.web.ui import CSS, THEME, build_page


def compose(settings: Settings, resources: ExitStack) -> gr.Blocks:
    """The app as Blocks; what it holds open is closed with `resources`."""
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")  # Gradio's components read it when they are made
    gr.set_static_paths([folder / PICTURES_FOLDER])  # served from where they are: a copy could outlive its tune
    pack = load_face_pack(settings.face_pack, folder=folder / "packs", token=settings.hf_token)
    faces = FaceAnalyzer(pack)
    judge = load_judge(faces, pack, folder=folder / "packs", token=settings.hf_token) if settings.likeness else None
    models = choose_base_models(settings.base_model, settings.base_models, cuda=torch.cuda.is_available())
    engines = load_engines(models, lock_dir=folder / "packs", face_pack=pack.name, token=settings.hf_token)
    for engine in engines:
        gpu.register(engine.generator)
        if settings.compile:
            engine.compile()
    backup = Backup(folder / DATABASE_FILE, settings.backup_dir) if settings.backup_dir else None
    if backup:
        backup.restore_if_empty()
        resources.enter_context(closing(backup))
    store = resources.enter_context(closing(TuneStore.open(folder)))
    jobs = resources.enter_context(closing(JobQueue()))
    studio = Studio(
        store=store,
        faces=faces,
        encoders={engine.base_model.adapter: engine.encoder for engine in engines},
        paint=gpu.generate_on_gpu,
        jobs=jobs,
        base_models=models,
        judge=judge,
        keep_photos=settings.keep_photos,
        titles_decide=settings.idempotent_titles,
        backup=backup,
        forget=gpu.forget,
    )
    owners = Owners(secret=settings.secret(), local=settings.local, admitted=settings.api_keys)
    device = "the GPU" if torch.cuda.is_available() else "the CPU"
    judged = judge.name if judge else None
    status = status_text(models, device=device, pack=pack.name, pack_note=pack.note, judge=judged)
    judge_licence = judge.licence if judge else ""
    licences = licences_text(models, pack=pack.name, pack_licence=pack.licence, judge_licence=judge_licence)
    page = build_page(studio, owners, status=status, licences=licences)
    return page.queue(max_size=None, default_concurrency_limit=4)


LAUNCH = {
    "ssr_mode": False,  # a Node proxy would answer the HTTP API's routes
    "show_error": True,
    "run_history": False,
    "max_file_size": "20mb",
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
            demo = compose(settings, resources)
        except FaceIDError as error:
            sys.exit(f"FaceID for Flux cannot start: {error}")
        demo.launch(server_name=settings.server_name, **LAUNCH)

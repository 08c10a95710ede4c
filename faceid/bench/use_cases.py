"""Tunes and pictures through the real studio: offline face pack, `fast`, a store in a temporary folder."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from faceid.base_models import find_base_model
from faceid.bench.figures import Measurement
from faceid.bench.photo import SIZE, make_photo
from faceid.bench.timing import time_in_turn
from faceid.domain import Face, PictureFile, PromptFields, TuneFields
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import load_face_pack
from faceid.flux.pipeline import load_engine
from faceid.jobs import JobQueue
from faceid.loading import Loading, Models
from faceid.prompt_syntax import tag_of
from faceid.protocols import IdentityEncoder
from faceid.store import TuneStore
from faceid.studio import Studio

if TYPE_CHECKING:
    import numpy as np

OWNER = "bench"
ROUNDS = 5
STEPS = 8


class CountingEncoder:
    """An identity encoder that counts its calls."""

    def __init__(self, encoder: IdentityEncoder):
        self._encoder = encoder
        self.key = encoder.key
        self.calls = 0

    def encode(self, faces: Sequence[Face]) -> "np.ndarray":
        self.calls += 1
        return self._encoder.encode(faces)


@dataclass(frozen=True)
class Bench:
    """A studio, and who counts in it: the analyzer the photos read, the encoder the identities encoded."""

    studio: Studio
    analyzer: FaceAnalyzer
    encoder: CountingEncoder

    def face_model_calls(self) -> int:
        """Photos that went through detector and recogniser, and identities that went through tower and resampler."""
        return self.analyzer.faces_read + self.encoder.calls

    def count_calls(self, work: Callable[[], object]) -> int:
        """Calls of face models while `work` runs."""
        before = self.face_model_calls()
        work()
        return self.face_model_calls() - before


@contextmanager
def open_bench() -> Iterator[Bench]:
    """The studio, composed as app.py does it but for the page."""
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        pack = load_face_pack("offline", folder=folder / "packs")
        engine = load_engine(find_base_model("fast"), lock_dir=folder / "packs", face_pack=pack.name)
        analyzer, encoder = FaceAnalyzer(pack), CountingEncoder(engine.encoder)
        studio = Studio(
            store=resources.enter_context(closing(TuneStore.open(folder / "data"))),
            loading=Loading.finished(Models(analyzer, {engine.base_model.adapter: encoder})),
            measures_likeness=False,
            paint=engine.generator.generate,
            jobs=resources.enter_context(closing(JobQueue())),
            base_models=[engine.base_model],
        )
        yield Bench(studio, analyzer, encoder)


def measure_tune(rounds: int = ROUNDS) -> Measurement:
    """Seconds of `create_tune` with one photo; each title is new, so that the photo is read each time."""
    photo, titles = make_photo(), count()
    with open_bench() as bench:
        (seconds,) = time_in_turn(
            lambda: bench.studio.create_tune(OWNER, [photo], TuneFields(f"Eileen {next(titles)}", "woman")),
            [nullcontext],
            rounds,
        )
        read = bench.analyzer.faces_read
    return Measurement(
        seconds,
        f"create_tune with a {SIZE[0]} × {SIZE[1]} JPEG of {len(photo.content) // 1000} kB, from its bytes to the "
        f"stored tokens; {read} photos read, the first not counted, median of {rounds}",
    )


def count_existing_tune() -> Measurement:
    """Face models called by sending the same photo again and by drawing with the tune."""
    photo, fields = make_photo(), TuneFields("Eileen", "woman")
    with open_bench() as bench:
        made = bench.count_calls(lambda: bench.studio.create_tune(OWNER, [photo], fields))
        tune = bench.studio.list_tunes(OWNER)[0]
        again = bench.count_calls(lambda: bench.studio.create_tune(OWNER, [photo], fields))
        drawn = bench.count_calls(lambda: draw(bench.studio, tune.id))
    return Measurement(
        again + drawn,
        f"counted by FaceAnalyzer.faces_read and a counting encoder: {made} calls for the new tune, {again} for the "
        f"same photo and title again, {drawn} for a picture with it",
    )


def measure_fast(rounds: int = ROUNDS, steps: int = STEPS) -> Measurement:
    """Seconds of `generate`, from the prompt to the saved PNG."""
    with open_bench() as bench:
        tune = bench.studio.create_tune(OWNER, [make_photo()], TuneFields("Eileen", "woman")).tune
        picture = draw(bench.studio, tune.id, steps)
        (seconds,) = time_in_turn(lambda: draw(bench.studio, tune.id, steps), [nullcontext], rounds)
        width, height = picture_size(picture)
    return Measurement(
        seconds, f"1 picture of {width} × {height} px, {steps} steps, identity at strength 1, median of {rounds}"
    )


def draw(studio: Studio, tune_id: int, steps: int = STEPS) -> PictureFile:
    """One picture of the tune's person."""
    fields = PromptFields(f"{tag_of(tune_id)} woman trekking in the alps", num_images=1, steps=steps, seed=1)
    (picture,) = [event for event in studio.generate(OWNER, fields).events() if isinstance(event, PictureFile)]
    return picture


def picture_size(picture: PictureFile) -> tuple[int, int]:
    """Width and height of the saved picture, px."""
    from PIL import Image

    with Image.open(picture.path) as image:
        return image.size

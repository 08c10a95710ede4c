"""faceid.finishing.chain: whole chains on the real `fast`, with a real face."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from flux_toys import mean_change, short_request
from PIL import Image
from pulid_toys import one_thread
from tiny_swapper import painted, write_tiny_swapper

from faceid.domain import Note, Picture, StepDone, Upload, WeightedIdentity
from faceid.faces.finder import FaceFinder
from faceid.finishes import ORDER, Finishing, FinishStep
from faceid.finishing.chain import FinishingChain
from faceid.finishing.face_correct import FaceCorrect
from faceid.finishing.face_swap import EMBEDDING_DIM, FaceSwap
from faceid.finishing.super_resolution import SuperResolution
from faceid.finishing.weights import Networks
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.redrawing import Work

ALL = {"super_resolution": True, "inpaint_faces": True, "color_grading": "Ektar", "film_grain": True}


class Negative(FaceCorrect):
    """Restores a face as its negative: seen at once, and where."""

    def _restore(self, crop: np.ndarray) -> np.ndarray:
        return 255 - crop


@pytest.fixture(autouse=True, scope="module")
def quick():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def upscaler() -> SuperResolution:
    return SuperResolution(load_enlarger().network)


@pytest.fixture(scope="module")
def networks(tmp_path_factory, upscaler) -> Networks:
    path = tmp_path_factory.mktemp("swapper") / "inswapper_128.onnx"
    write_tiny_swapper(path)
    return Networks(super_resolution=upscaler, face_correct=Negative(upscaler.network), face_swap=FaceSwap(path))


@pytest.fixture(scope="module")
def chain(networks, face_pack) -> FinishingChain:
    return FinishingChain(networks, FaceFinder(face_pack))


@pytest.fixture(scope="module")
def photo(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB")


@pytest.fixture(scope="module")
def vector() -> np.ndarray:
    return np.random.default_rng(7).standard_normal(EMBEDDING_DIM).astype(np.float32)


class Told:
    """Who is told every part, and draws again in green."""

    side = 64

    def __init__(self):
        self.parts: list[tuple[str, int, int]] = []
        self.redrawn: list[tuple[tuple[int, int], float, int, bool]] = []

    def tell(self, name):
        return lambda done, of: self.parts.append((name, done, of))

    def __call__(self, picture, *, strength, seed, mask=None):
        self.redrawn.append((picture.size, strength, seed, mask is not None))
        return Image.new("RGB", picture.size, (0, 255, 0))


def finish(chain, picture, told=None, width=512, **finishing) -> tuple[np.ndarray, tuple[Note, ...]]:
    told = told or Told()
    request = short_request(finishing=Finishing(**finishing), width=width, height=width)
    finished, notes = chain(picture, Work(request, 1, 5, told, told.tell))
    return np.asarray(finished).astype(int), notes


def test_nothing_asked_is_nothing_done(chain, photo):
    finished, notes = finish(chain, photo)
    assert np.array_equal(finished, np.asarray(photo))
    assert notes == ()


def test_the_order_is_the_product_s(chain, networks, photo, vector):
    done = []
    ordered = FinishingChain(networks, lambda rgb: [])
    ordered._steps = {name: lambda picture, work, name=name: done.append(name) or picture for name in ORDER}
    everything = {"face_swap": vector, "face_correct": 0.5, "hires_fix": True, **ALL}
    finish(ordered, photo, **dict(reversed(everything.items())))
    assert done == [
        "face_swap", "face_correct", "super_resolution", "hires_fix", "inpaint_faces", "color_grading", "film_grain",
    ]  # fmt: skip


def test_the_swapped_face_is_the_one_that_is_corrected(chain, photo, vector, face_pack):
    x, y = FaceFinder(face_pack)(np.asarray(photo))[0].landmarks[2].round().astype(int)
    swapped, _ = finish(chain, photo, face_swap=vector)
    both, _ = finish(chain, photo, face_swap=vector, face_correct=1.0)
    assert np.abs(swapped[y, x] - 0.75 * painted(vector)).max() < 70  # and a quarter of the photo
    assert np.abs(both[y, x] - (255 - swapped[y, x])).max() < 12


def test_without_a_face_it_stays_and_says_so(chain):
    scenery = Image.effect_noise((256, 256), 40).convert("RGB")
    vector = np.ones(EMBEDDING_DIM, np.float32)
    finished, notes = finish(chain, scenery, face_swap=vector, face_correct=1.0, inpaint_faces=True)
    assert np.array_equal(finished, np.asarray(scenery))
    assert [note.field for note in notes] == ["face_swap", "face_correct", "inpaint_faces"]
    assert all("picture 1 no face" in note.reason for note in notes)


def test_a_large_face_is_not_drawn_again(chain, photo, face_pack):
    face = FaceFinder(face_pack)(np.asarray(photo))[0]
    left, top, right, bottom = (round(edge) for edge in face.box)
    portrait = photo.crop((left - 30, top - 30, right + 30, bottom + 30)).resize((256, 256))
    told = Told()
    finished, (note,) = finish(chain, portrait, told, width=64, inpaint_faces=True)
    assert np.array_equal(finished, np.asarray(portrait))
    assert "no small face" in note.reason
    assert told.redrawn == []


def test_a_small_face_is_drawn_again_and_nothing_else(chain, photo):
    wide = Image.new("RGB", (1536, 1024), "grey")
    wide.paste(photo.resize((640, 640)), (100, 100))
    told = Told()
    told.side = 1024  # a face of 1536 px is small below 164
    finished, notes = finish(chain, wide, told, width=1536, inpaint_faces=True)
    changed = np.argwhere((finished != np.asarray(wide)).any(axis=2))
    assert notes == ()
    assert told.parts == [("inpaint_faces", 1, 1)]
    assert told.redrawn[0][0] == (1024, 1024)
    assert told.redrawn[0][3]  # with a mask
    assert np.ptp(changed, axis=0).max() < 300
    assert changed[:, 1].max() < 740


def test_hires_fix_draws_every_tile_again(chain, photo):
    told = Told()
    finished, _ = finish(chain, photo, told, hires_fix=True)
    assert (finished == (0, 255, 0)).all()
    assert {size for size, *_ in told.redrawn} == {(64, 64)}
    seeds = [seed for _, _, seed, _ in told.redrawn]
    assert len(set(seeds)) == len(seeds) == told.parts[-1][2]
    assert {strength for _, strength, *_ in told.redrawn} <= {round(0.2 + 0.01 * step, 2) for step in range(16)}


def test_what_is_not_loaded_is_not_skipped_in_silence(face_pack, photo):
    empty = FinishingChain(Networks(), FaceFinder(face_pack))
    with pytest.raises(ValueError, match="face_correct: its network is not loaded"):
        finish(empty, photo, face_correct=0.5)


# --- through the generator ---


@pytest.fixture
def finishing_fast(fast, chain) -> Iterator:
    before, fast.generator.finish = fast.generator.finish, chain
    yield fast.generator
    fast.generator.finish = before


@pytest.fixture(scope="module")
def eileen(fast, analyzer, astronaut_path) -> dict:
    face = analyzer.detect_face(Upload("astronaut.jpg", astronaut_path.read_bytes()))
    return {"identities": (WeightedIdentity(fast.encoder.encode([face])),), "num_inference_steps": 8}


def test_a_whole_chain_on_fast(finishing_fast, eileen, vector):
    finishing = Finishing(face_swap=vector, face_correct=0.5, **ALL)
    plain = next(r for r in finishing_fast.generate(short_request(**eileen)) if isinstance(r, Picture))
    results = list(finishing_fast.generate(short_request(finishing=finishing, num_images=2, **eileen)))
    first, second = (result for result in results if isinstance(result, Picture))
    assert first.image.size == second.image.size == (1024, 1024)
    assert [note.field for note in first.notes] == ["inpaint_faces"]  # its face fills the picture
    kinds = [type(result) for result in results if not isinstance(result, Picture)]
    assert kinds.count(StepDone) == 16
    parts = [result for result in results if isinstance(result, FinishStep)]
    assert [part.name for part in parts if part.index == 1 and part.done == part.of] == [
        "face_correct", "super_resolution",
    ]  # fmt: skip
    small = np.asarray(first.image.resize(plain.image.size)).astype(int)
    assert 5 < mean_change(small, np.asarray(plain.image).astype(int)) < 80


def test_a_chain_repeats_bit_for_bit(finishing_fast, eileen):
    request = short_request(finishing=Finishing(**ALL), **eileen)
    one, other = (
        next(np.asarray(r.image) for r in finishing_fast.generate(request) if isinstance(r, Picture)) for _ in range(2)
    )
    assert np.array_equal(one, other)


def test_a_small_face_is_drawn_again_as_this_person(finishing_fast, eileen, chain, photo):
    wide = Image.new("RGB", (768, 512), "grey")  # as of 192 × 128 px, enlarged four times
    wide.paste(photo.resize((176, 176)), (200, 100))
    drawn = []
    for strength in (1.0, 0.0):
        person = {"identities": (replace(eileen["identities"][0], strength=strength),)}
        request = short_request(finishing=Finishing(inpaint_faces=True), width=192, height=128, **(eileen | person))
        redraw = finishing_fast._redraw(request, finishing_fast._embed_texts(request))
        finished, notes = chain(wide, Work(request, 1, 5, redraw, lambda name: lambda done, of: None))
        assert notes == ()
        drawn.append(np.asarray(finished).astype(int))
    somebody, nobody = drawn
    changed = np.abs(somebody - np.asarray(wide)).max(axis=2) > 0
    assert 20**2 < changed.sum() < 120**2
    assert not changed[:90].any()
    assert not changed[:, :190].any()
    assert np.abs(somebody - nobody)[changed].mean() > 1

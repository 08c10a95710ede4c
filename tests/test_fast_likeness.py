"""`fast` draws people: the whole chain on the astronaut's photo, as the app runs it, judged by the offline pack."""

import io
from dataclasses import replace

import numpy as np
import pytest

from faceid.base_models import find_base_model
from faceid.domain import Picture, Upload, WeightedIdentity
from faceid.errors import InvalidPhotos
from faceid.flux.fast import config
from faceid.flux.fast.evaluate import describe, load_studio
from faceid.flux.fast.training.captions import caption_of
from faceid.flux.fast.training.measuring import Figures, normalise
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.scenes import Backgrounds
from faceid.flux.fast.weights import FOLDER

PHOTO = caption_of().text
LIKE, ALIKE_BY = 0.55, 0.3  # the judge's cosine at strength 1; by how much it beats strength 0


@pytest.fixture(scope="module")
def studio(analyzer):
    return load_studio(FOLDER, analyzer)


@pytest.fixture(scope="module")
def face(analyzer, astronaut):
    return analyzer.detect_face(astronaut)


def likeness(studio, face, strength, seed=0, prompt=PHOTO):
    """The judge's cosine between the photo and what is drawn of it; 0 where no face is found."""
    seen = studio.look(studio.draw(face, prompt, strength, seed))
    return 0.0 if seen is None else float(seen @ normalise(face.embedding))


def test_the_person_is_recognised_at_strength_1_and_not_at_0(studio, face):
    assert likeness(studio, face, 1.0) > LIKE
    assert likeness(studio, face, 1.0) - likeness(studio, face, 0.0) > ALIKE_BY


def test_random_weights_draw_nobody(analyzer, face):
    assert likeness(load_studio(None, analyzer), face, 1.0) < ALIKE_BY


def test_likeness_grows_with_strength(studio, face):
    weak, half, full = (likeness(studio, face, strength) for strength in (0.0, 0.5, 1.0))
    assert weak <= half + 0.05
    assert half < full


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_noise_is_gone(studio, face, seed):
    assert studio.look(studio.draw(face, PHOTO, 1.0, seed)) is not None


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(studio, face):
    first, again, other = (np.asarray(studio.draw(face, PHOTO, 1.0, seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pictures_are_shown_four_times_as_large_as_drawn(studio, face):
    side = config.SIDE * config.UPSCALE
    assert studio.draw(face, PHOTO, 1.0, 0).size == (side, side)


def test_black_and_white_is_obeyed_and_still_the_person(studio, face):
    caption = caption_of("black and white")
    small = (config.SIDE, config.SIDE)
    picture = np.asarray(studio.draw(face, caption.text, 1.0, 0).resize(small), np.float32) / 255
    assert obeys(picture, picture, caption, Backgrounds(config.SIDE))
    assert likeness(studio, face, 1.0, prompt=caption.text) > ALIKE_BY


def test_unknown_words_do_no_harm(studio, face):
    assert likeness(studio, face, 1.0, prompt="ohwx zyxqt person, photo, photorealism 8k") > LIKE


def test_the_recogniser_s_output_changes_no_pixel(studio, face):
    other = replace(face, embedding=np.full_like(face.embedding, 9), face_pack="another")
    assert np.array_equal(studio.draw(face, PHOTO, 1.0, 0), studio.draw(other, PHOTO, 1.0, 0))


def test_figures_are_told_with_the_number_of_people_and_chance():
    figures = Figures(rank1=0.5, cosine={0.0: 0.1, 1.0: 0.6}, found={0.0: 1.0, 1.0: 1.0}, obedience={"sepia": 0.9})
    figures.oblong = {"3:4": (0.75, 0.5)}
    text = describe(figures, 40)
    assert "chance: 2.5%" in text
    assert "obeyed, sepia: 90.0%" in text
    assert "aspect ratio 3:4: mean cosine 0.500, face found 75.0%" in text


def test_the_app_s_own_fast_draws_the_person(fast, face, analyzer):
    tokens = fast.encoder.encode([face])
    from flux_toys import short_request

    request = short_request(prompt=PHOTO, num_inference_steps=8, identities=(WeightedIdentity(tokens, 1.0),))
    assert request.base_model == find_base_model("fast").slug
    (picture,) = [result for result in fast.generator.generate(request) if isinstance(result, Picture)]
    file = io.BytesIO()
    picture.image.save(file, "PNG")
    try:
        seen = analyzer.detect_face(Upload("drawn.png", file.getvalue()))
    except InvalidPhotos:
        pytest.fail("no face is found in what fast draws")
    assert float(normalise(seen.embedding) @ normalise(face.embedding)) > LIKE

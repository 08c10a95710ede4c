"""`fast` draws people: the whole chain on the astronaut's photo, as the app runs it, judged by the offline pack."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from flux_toys import FAST

from faceid.flux.fast import config
from faceid.flux.fast.evaluate import describe
from faceid.flux.fast.training.captions import caption_of
from faceid.flux.fast.training.measuring import Evaluator, Figures, shrink_drawn
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.scenes import Backgrounds
from faceid.flux.pipeline import load_fast
from faceid.unit_vectors import unit

PHOTO = caption_of().text
LIKE, ALIKE_BY = 0.55, 0.3  # the judge's cosine at strength 1; by how much it beats strength 0


@pytest.fixture(scope="module")
def face(analyzer, astronaut):
    return analyzer.detect_face(astronaut)


@pytest.fixture(scope="module")
def evaluator(fast, analyzer):
    return Evaluator(fast, analyzer)


@pytest.fixture(scope="module")
def drawn(evaluator, face):
    """A picture of the face by prompt, strength and seed; each is drawn once."""
    return cache(lambda prompt=PHOTO, strength=1.0, seed=0: evaluator.draw(face, prompt, strength, seed))


@pytest.fixture(scope="module")
def likeness(evaluator, face):
    """The judge's cosine between the photo and a picture; 0 where no face is found."""

    def judge(picture):
        seen = evaluator.look(picture)
        return 0.0 if seen is None else float(seen @ unit(face.embedding))

    return judge


def test_the_person_is_recognised_at_strength_1_and_not_at_0(drawn, likeness):
    assert likeness(drawn()) > LIKE
    assert likeness(drawn()) - likeness(drawn(strength=0.0)) > ALIKE_BY


def test_random_weights_draw_nobody(analyzer, face, likeness):
    evaluator = Evaluator(load_fast(FAST, analyzer.face_pack, weights=None), analyzer)
    assert likeness(evaluator.draw(face, PHOTO, 1.0, 0)) < ALIKE_BY


def test_likeness_grows_with_strength(drawn, likeness):
    weak, half, full = likeness(drawn(strength=0.0)), likeness(drawn(strength=0.5)), likeness(drawn())
    assert weak <= half + 0.05
    assert half < full


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_noise_is_gone(evaluator, drawn, seed):
    assert evaluator.look(drawn(seed=seed)) is not None


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(evaluator, face, drawn):
    first, again, other = map(np.asarray, (drawn(), evaluator.draw(face, PHOTO, 1.0, 0), drawn(seed=1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pictures_are_shown_four_times_as_large_as_drawn(drawn):
    side = config.SIDE * config.UPSCALE
    assert drawn().size == (side, side)


def test_black_and_white_is_obeyed_and_still_the_person(drawn, likeness):
    caption = caption_of("black and white")
    picture = shrink_drawn(drawn(caption.text))
    assert obeys(picture, picture, caption, Backgrounds(config.SIDE))
    assert likeness(drawn(caption.text)) > ALIKE_BY


def test_unknown_words_do_no_harm(drawn, likeness):
    assert likeness(drawn("ohwx zyxqt person, photo, photorealism 8k")) > LIKE


def test_the_recogniser_s_output_changes_no_pixel(evaluator, face, drawn):
    other = replace(face, embedding=np.full_like(face.embedding, 9), face_pack="another")
    assert np.array_equal(drawn(), evaluator.draw(other, PHOTO, 1.0, 0))


def test_figures_are_told_with_the_number_of_people_and_chance():
    figures = Figures(rank1=0.5, cosine={0.0: 0.1, 1.0: 0.6}, found={0.0: 1.0, 1.0: 1.0}, obedience={"sepia": 0.9})
    figures.oblong = {"3:4": (0.75, 0.5)}
    text = describe(figures, 40)
    assert "chance: 2.5%" in text
    assert "obeyed, sepia: 90.0%" in text
    assert "aspect ratio 3:4: mean cosine 0.500, face found 75.0%" in text

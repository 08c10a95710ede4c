"""faceid.flux.fast.training.lessons: what is drawn is what the caption says, and who the noise or the face says."""

import random
from functools import cache

import numpy as np
import pytest
import torch
from fast_faces import small_pictures, toy_lessons, toy_strangers
from flux_toys import FAST

from faceid.flux.fast import config
from faceid.flux.fast.tokenizers import load_words
from faceid.flux.fast.training.captions import COLOURS, SCENES, STYLES, caption_of, draw_caption
from faceid.flux.fast.training.lessons import (
    PLACE,
    SHAPES,
    Lesson,
    Lessons,
    draw_strengths,
    reframe,
    words_heard,
    words_without_meaning,
)
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.routing import own_places
from faceid.flux.fast.training.scenes import POOL, Backgrounds
from faceid.flux.fast.training.styles import realise
from faceid.sizes import ASPECT_RATIOS, aspect_ratio_size


@cache
def places() -> Backgrounds:
    return Backgrounds(config.SIDE)


def test_oblong_pictures_show_the_face_in_the_middle_and_know_its_places():
    square = torch.arange(64.0).view(1, 1, 8, 8).repeat_interleave(PLACE, 2).repeat_interleave(PLACE, 3)
    for shape in (*SHAPES, (8, 8)):
        shown = reframe(square, shape)
        assert shown.shape[-2:] == (PLACE * shape[0], PLACE * shape[1])
        places, own = shown[0, 0, ::PLACE, ::PLACE].flatten(), own_places(shape, 8)
        assert torch.equal(places[own >= 0], own[own >= 0].float())
        assert len(own[own >= 0]) == min(shape[0], 8) * min(shape[1], 8)


def test_the_lessons_shapes_are_what_the_app_draws():
    drawn = {aspect_ratio_size(FAST, ratio) for ratio in ASPECT_RATIOS}
    assert {(PLACE * columns, PLACE * rows) for rows, columns in (*SHAPES, (8, 8))} == drawn


def test_no_word_of_the_grammar_is_among_the_words_without_meaning():
    chance = random.Random(0)
    words = {word for _ in range(500) for word in draw_caption(chance, plain=0.2).text.replace(",", "").split()}
    without = set(words_without_meaning())
    assert without <= set(load_words())
    assert without
    assert not words & without
    assert {"red", "grey", "alps", "sepia", "warm"} <= set(words_heard()) <= words


@pytest.mark.parametrize("name", STYLES[1:])
def test_what_the_lessons_draw_obeys_its_caption(name):
    pictures = small_pictures()
    backgrounds = places()
    caption = caption_of(name, background="blue" if name == "comic book" else None)
    drawn = realise(pictures, torch.ones(6, 1, 64, 64), [caption] * 6, backgrounds, range(6))
    shown = [picture.permute(1, 2, 0).numpy() for picture in drawn]
    plain = [picture.permute(1, 2, 0).numpy() for picture in pictures]
    obeyed = [obeys(one, other, caption_of(name), backgrounds) for one, other in zip(shown, plain)]
    assert np.mean(obeyed) >= 0.8
    assert not any(obeys(other, other, caption_of(name), backgrounds) for other in plain)


@pytest.mark.parametrize("name", [*SCENES, *COLOURS])
def test_backgrounds_are_told_apart(name):
    backgrounds = places()
    caption = caption_of(background=name)
    nobody = torch.zeros(1, 1, 64, 64)
    picture = realise(torch.zeros(1, 3, 64, 64), nobody, [caption], backgrounds, [0])[0]
    seen = picture.permute(1, 2, 0).numpy()
    assert obeys(seen, seen, caption, backgrounds)
    other = caption_of(background="white" if name in ("night city", "black") else "black")
    assert not obeys(seen, seen, other, backgrounds)


def test_lessons_come_from_their_seed_and_strength_0_shows_somebody_else():
    lessons = toy_lessons(16)
    first, again = (lessons.draw(torch.Generator().manual_seed(3), 0.5) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert first.captions == again.captions
    copying = _square_lesson(lessons, 0.0)
    same = (copying.faces - copying.pictures).abs().amax((1, 2, 3)) < 1e-6
    assert torch.equal(same, copying.strengths >= 1)
    nobody = copying.strengths == 0
    met = toy_strangers().meet(copying.noise).pictures
    assert torch.allclose(copying.pictures[nobody], met[nobody])


def test_noise_alone_decides_who_a_stranger_is():
    strangers, noise = toy_strangers(), torch.randn(400, 48, 64, generator=torch.Generator().manual_seed(0))
    found = strangers.find(noise)
    assert torch.equal(found, strangers.find(noise + torch.ones(64) * (torch.arange(64) < 32)))
    assert (torch.bincount(found, minlength=6) > 0).all()
    assert torch.equal(strangers.meet(noise).pictures, small_pictures()[found])


def test_noise_alone_decides_where_somebody_stands():
    noise = torch.randn(400, 48, 64, generator=torch.Generator().manual_seed(0))
    found = places().find(noise)
    assert torch.equal(found, places().find(noise + torch.ones(64) * (torch.arange(64) < 32)))
    assert (torch.bincount(found, minlength=POOL) > 0).all()
    one, other = (places().show("alps", number, (64, 64)) for number in (0, 1))
    assert torch.equal(one, Backgrounds(64).show("alps", 0, (64, 64)))
    assert not torch.equal(one, other)


def test_most_strengths_are_1_and_some_0():
    strengths = draw_strengths(2000, torch.Generator().manual_seed(0))
    assert (strengths == 1).float().mean() > 0.5
    assert 0.25 < (strengths == 0).float().mean() < 0.35
    assert strengths.max() <= 1.8


def _square_lesson(lessons: Lessons, progress: float) -> Lesson:
    """The first lesson of square pictures that has strangers."""
    drawn = (lessons.draw(torch.Generator().manual_seed(seed), progress) for seed in range(100))
    return next(
        lesson for lesson in drawn if lesson.pictures.shape == lesson.faces.shape and (lesson.strengths == 0).any()
    )

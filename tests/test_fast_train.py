"""faceid.flux.fast.train: every part learns, a killed run goes on, and the weights are what `build_fast` loads."""

import logging
import random
from functools import cache

import numpy as np
import pytest
import torch
from flux_toys import FAST
from spandrel.architectures.Compact import Compact
from torch import nn

from faceid.errors import SetupError
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast, build_modules, seeded
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.fast.tokenizers import load_words
from faceid.flux.fast.train import parse_arguments
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.captions import COLOURS, SCENES, STYLES, caption_of, draw_caption
from faceid.flux.fast.training.components import start_from_components
from faceid.flux.fast.training.drawing import Artist, measure_copying
from faceid.flux.fast.training.faces import FaceSet, cut_out, find_pictures, split_people
from faceid.flux.fast.training.lessons import Lessons, draw_strengths, words_without_meaning
from faceid.flux.fast.training.loop import Schedule, Trainer, rate_at
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.parts import Plan, start_routes, train_all
from faceid.flux.fast.training.routing import listen, routing_loss
from faceid.flux.fast.training.scenes import Backgrounds, realise
from faceid.flux.fast.training.tokens import FaceTokens
from faceid.flux.fast.training.upscaler import fit_last_layer, gain_over_bicubic
from faceid.flux.fast.weights import FILES, FOLDER, UPSCALER_FILE
from faceid.flux.generator import FluxGenerator


@pytest.fixture(autouse=True)
def _generator_left_alone():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def generated_faces(count: int = 6, side: int = 256) -> FaceSet:
    """Ovals with eyes and a mouth, of different colours, before different backgrounds."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    pictures, masks = [], []
    for _ in range(count):
        skin, hair, behind = chance.integers(40, 220, (3, 3))
        head = (x / 0.5) ** 2 + (y / 0.75) ** 2 < 1
        eyes = ((np.abs(x) - 0.22) / 0.09) ** 2 + ((y + 0.08) / 0.05) ** 2 < 1
        mouth = (x / 0.22) ** 2 + ((y - 0.4) / 0.06) ** 2 < 1
        picture = np.where(head[..., None], skin, behind)
        picture[(y < -0.45) & head] = hair
        picture[(eyes | mouth) & head] = (60, 20, 20)
        grain = chance.normal(0, 6, picture.shape)
        pictures.append((picture + grain).clip(0, 255).astype(np.uint8))
        masks.append(head.astype(np.uint8) * 255)
    return FaceSet(tuple(f"{index}.png" for index in range(count)), np.stack(pictures), np.stack(masks))


@cache
def places() -> Backgrounds:
    return Backgrounds(config.SIDE)


def small_pictures(faces: FaceSet, side: int = config.SIDE) -> torch.Tensor:
    step = faces.pictures.shape[1] // side
    return torch.from_numpy(faces.pictures[:, ::step, ::step]).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def artist():
    """An artist that is about to learn: routes are written, nothing is trained."""
    pipeline, adapter, tower, encoder = build_modules(0)
    artist = Artist(pipeline, adapter, FaceTokens(tower, encoder), config.MAX_SEQUENCE_LENGTH)
    start_from_components(pipeline.vae, small_pictures(generated_faces()) * 2 - 1)
    start_routes(artist, small_pictures(generated_faces()))
    return artist.requires_grad_(False)


def test_a_short_training_writes_every_weight_and_goes_on_where_it_was_killed(tmp_path, caplog):
    plan = Plan(generated_faces(), tmp_path / "work", tmp_path / "weights", seconds=2.0, sheets=False)
    with caplog.at_level(logging.INFO, logger="faceid.flux.fast.training"):
        train_all(plan)
    assert {path.name for path in plan.out.iterdir()} == {*FILES.values(), UPSCALER_FILE}
    first = build_fast(weights=plan.out)[0].transformer.state_dict()
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="faceid.flux.fast.training"):
        train_all(plan)
    assert "going on from step" in caplog.text
    again = build_fast(weights=plan.out)[0].transformer.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    pipeline, adapter, encoder = build_fast(weights=plan.out)
    FluxGenerator(FAST, pipeline, adapter, encoder.unconditional(), enlarge=load_enlarger(plan.out))


def test_a_trainer_that_was_killed_has_lost_nothing_it_saved(tmp_path):
    def trainer(seconds):
        network = nn.Linear(2, 1)

        def step(generator, progress):
            seen = torch.randn(8, 2, generator=generator)
            return {"error": (network(seen) - seen.sum(1, keepdim=True)).square().mean()}

        return Trainer(network, step, Schedule(seconds, 0.05, average=0.9), tmp_path / "linear.pt")

    trainer(0.2).run()
    again = trainer(0.4)
    assert (again.steps, again.seconds >= 0.2) == (torch.load(tmp_path / "linear.pt")["steps"], True)
    again.run()
    assert torch.allclose(again.network.weight, torch.ones(1, 2), atol=0.2)


def test_the_learning_rate_rises_and_falls():
    assert rate_at(0.0) < rate_at(0.02) == 1
    assert rate_at(0.5) > rate_at(0.9) > rate_at(1.0) > 0


def test_the_linear_code_gives_pictures_back(artist):
    pictures = small_pictures(generated_faces())
    worn = artist.wear(pictures, 0.0)
    assert -10 * (worn - pictures).square().mean().log10() > 25  # dB


def test_tokens_begin_as_the_latents_of_their_place(artist):
    pictures = small_pictures(generated_faces())
    tokens, latents = artist.face_tokens(pictures), artist.encode_pictures(pictures)
    told = tokens[..., : latents.shape[-1]]
    alike = nn.functional.cosine_similarity(told.flatten(0, 1), latents.flatten(0, 1), dim=-1)
    assert alike.mean() > 0.95


def test_the_routing_loss_is_small_where_every_token_asks_for_itself():
    own = torch.eye(4).view(1, 1, 4, 4) * 30
    assert routing_loss(own, own) < 0.01 < routing_loss(own, own.flip(2))
    before = torch.cat([torch.zeros(1, 1, 2, 4), own], dim=2)
    assert routing_loss(own, before, first_key=2) < 0.01


def test_cross_attentions_are_listened_to_and_left_as_they_were(artist):
    picture = small_pictures(generated_faces())[:1]
    noisy, one = artist.encode_pictures(picture), torch.ones(1)
    with listen(list(artist.transformer.pulid_ca)) as heard:
        artist(noisy, one, ["photo"], artist.face_tokens(picture), one)
    assert len(heard) == len(artist.transformer.pulid_ca)
    artist(noisy, one, ["photo"], artist.face_tokens(picture), one)
    assert len(heard) == len(artist.transformer.pulid_ca)


def test_copying_is_measured_with_the_right_tokens_anothers_and_none(artist):
    lesson = Lessons(_views(), config.SIDE, batch=3).draw(torch.Generator().manual_seed(0), 0.0)
    errors = measure_copying(artist, lesson)
    assert errors.keys() == {"right", "another", "none"}
    assert len(set(errors.values())) == 3


def test_the_upscaler_s_last_layer_is_fitted_at_once():
    with seeded(0):
        upscaler = Compact(num_feat=8, num_conv=1, upscale=4)
    pictures = torch.from_numpy(generated_faces().pictures).permute(0, 3, 1, 2)
    before = gain_over_bicubic(upscaler, pictures.float() / 255)
    fit_last_layer(upscaler, pictures)
    assert gain_over_bicubic(upscaler, pictures.float() / 255) > before + 1  # dB


def test_no_word_of_the_grammar_is_among_the_words_without_meaning():
    chance = random.Random(0)
    words = {word for _ in range(500) for word in draw_caption(chance, plain=0.2).text.replace(",", "").split()}
    without = set(words_without_meaning())
    assert without <= set(load_words())
    assert without
    assert not words & without


@pytest.mark.parametrize("name", STYLES[1:])
def test_what_the_lessons_draw_obeys_its_caption(name):
    faces = generated_faces()
    pictures = small_pictures(faces)
    backgrounds = places()
    caption = caption_of(name, background="blue" if name == "comic book" else None)
    drawn = realise(pictures, torch.ones(6, 1, 64, 64), [caption] * 6, backgrounds, torch.Generator().manual_seed(0))
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
    picture = realise(torch.zeros(1, 3, 64, 64), nobody, [caption], backgrounds, torch.Generator().manual_seed(0))[0]
    seen = picture.permute(1, 2, 0).numpy()
    assert obeys(seen, seen, caption, backgrounds)
    other = caption_of(background="white" if name in ("night city", "black") else "black")
    assert not obeys(seen, seen, other, backgrounds)


def test_lessons_come_from_their_seed_and_strength_0_shows_somebody_else():
    lessons = Lessons(_views(), config.SIDE, batch=16)
    first, again = (lessons.draw(torch.Generator().manual_seed(3), 0.5) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert first.captions == again.captions
    copying = lessons.draw(torch.Generator().manual_seed(4), 0.0)
    same = (copying.faces - copying.pictures).abs().amax((1, 2, 3)) < 1e-6
    assert torch.equal(same, copying.strengths >= 1)


def test_most_strengths_are_1_and_some_0():
    strengths = draw_strengths(2000, torch.Generator().manual_seed(0))
    assert (strengths == 1).float().mean() > 0.5
    assert 0.1 < (strengths == 0).float().mean() < 0.2
    assert strengths.max() <= 1.8


def test_the_people_kept_out_are_spread_over_the_folder():
    training, out = split_people(312)
    assert (len(training), len(out)) == (272, 40)
    assert not set(training) & set(out)
    assert max(np.diff(out)) <= 8
    assert split_people(6) == ([1, 3, 5], [0, 2, 4])


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(SetupError, match="holds no picture"):
        find_pictures(tmp_path)


def test_a_person_is_cut_out_of_the_background():
    faces = generated_faces(1)
    cut = cut_out(faces.pictures[0]) > 127
    wanted = faces.masks[0] > 127
    assert (cut & wanted).sum() / (cut | wanted).sum() > 0.7


def test_the_command_line_names_its_folder_and_its_time(tmp_path):
    given = parse_arguments(["--faces", str(tmp_path), "--minutes", "5"])
    assert (given.faces, given.minutes) == (tmp_path, 5)


def test_no_file_of_the_weights_is_large():
    sizes = [path.stat().st_size for path in FOLDER.glob("*.safetensors")]
    assert len(sizes) == len({*FILES.values(), UPSCALER_FILE})
    assert max(sizes) < 9.5e6
    assert sum(sizes) < 30e6
    assert (FOLDER / UPSCALER_FILE).stat().st_size < 1.5e6


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(SetupError, match="is missing"):
        build_fast(weights=tmp_path)


def _views() -> Augmenter:
    faces = generated_faces()
    layers = (torch.from_numpy(faces.pictures).permute(0, 3, 1, 2), torch.from_numpy(faces.masks)[:, None])
    return Augmenter(*(layer[..., ::2, ::2].contiguous() for layer in layers), config.SIDE)

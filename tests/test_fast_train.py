"""faceid.flux.fast.train: every part learns, a killed run goes on, and the weights are what `build_fast` loads."""

import logging
import random
from itertools import count

import numpy as np
import pytest
import torch
from fast_faces import generated_faces, small_pictures, toy_lessons
from flux_toys import FAST
from spandrel.architectures.Compact import Compact
from torch import nn

from faceid.errors import SetupError
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast, build_modules, seeded
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.fast.train import parse_arguments
from faceid.flux.fast.training.captions import COLOURS, caption_of, draw_caption
from faceid.flux.fast.training.components import start_from_components
from faceid.flux.fast.training.decoding import train_decoder
from faceid.flux.fast.training.drawing import Artist, measure_copying, pack, unpack
from faceid.flux.fast.training.faces import cut_out, find_pictures, split_people, split_validation
from faceid.flux.fast.training.loop import Schedule, Trainer, rate_at
from faceid.flux.fast.training.parts import Plan, start_routes, train_all
from faceid.flux.fast.training.routing import listen, routing_loss
from faceid.flux.fast.training.starting_points import SPREAD
from faceid.flux.fast.training.tokens import FaceTokens
from faceid.flux.fast.training.upscaler import fit_last_layer, gain_over_bicubic
from faceid.flux.fast.weights import FILES, FOLDER, UPSCALER_FILE
from faceid.flux.generator import FluxGenerator


@pytest.fixture(autouse=True)
def _generator_left_alone():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def artist():
    """An artist that is about to learn: routes are written, nothing is trained."""
    pipeline, adapter, tower, encoder = build_modules(0)
    artist = Artist(pipeline, adapter, FaceTokens(tower, encoder), config.MAX_SEQUENCE_LENGTH)
    start_from_components(pipeline.vae, small_pictures(generated_faces()) * 2 - 1)
    start_routes(artist, small_pictures(generated_faces()))
    return artist.requires_grad_(False)


def test_a_short_training_writes_every_weight_and_goes_on_where_it_was_killed(tmp_path, caplog):
    faces = generated_faces()
    plan = Plan(faces, faces, tmp_path / "work", tmp_path / "weights", seconds=2.0, sheets=False)
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

        schedule, file = Schedule(seconds, 0.05, average=0.9), tmp_path / "linear.pt"
        return Trainer(network, step, schedule, file, clock=count().__next__)  # a second a look

    trainer(100).run()
    again = trainer(200)
    assert (again.steps, again.seconds) == (100, 100)
    again.run()
    assert again.steps == 200
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
    shifted = torch.cat([torch.zeros(1, 1, 1, 4), own[:, :, :3]], dim=2)
    assert routing_loss(shifted, own) > 1
    assert routing_loss(shifted, own, torch.tensor([-1, 0, 1, 2])) < 0.01


def test_cross_attentions_are_listened_to_and_left_as_they_were(artist):
    picture = small_pictures(generated_faces())[:1]
    noisy, one = artist.encode_pictures(picture), torch.ones(1)
    with listen(list(artist.transformer.pulid_ca)) as heard:
        artist(noisy, one, ["photo"], artist.face_tokens(picture), one)
    assert len(heard) == len(artist.transformer.pulid_ca)
    artist(noisy, one, ["photo"], artist.face_tokens(picture), one)
    assert len(heard) == len(artist.transformer.pulid_ca)


def test_copying_is_measured_with_the_right_tokens_anothers_and_none(artist):
    lesson = toy_lessons(3).draw(torch.Generator().manual_seed(0), 0.0)
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


def test_what_tells_colours_apart_is_louder_than_what_captions_share(artist):
    embedder = artist.transformer.time_text_embed.text_embedder

    def told(captions: list[str]) -> torch.Tensor:
        return embedder(artist.read(captions)[1])

    chance = random.Random(1)
    heard = told([draw_caption(chance, plain=0).text for _ in range(200)])
    assert heard.std(0).square().mean().sqrt() == pytest.approx(SPREAD, rel=0.2)
    assert heard.mean(0).square().mean().sqrt() < SPREAD / 2
    colours = told([caption_of(background=colour).text for colour in COLOURS])
    apart = torch.cdist(colours, colours)[~torch.eye(len(COLOURS), dtype=torch.bool)] / colours.shape[1] ** 0.5
    assert apart.min() > SPREAD / 4
    red, unknown = told(["person, photo, red background", "ohwx the person, zyxqt photo, red background 8k"])
    assert (red - unknown).square().mean().sqrt() < apart.min() / 10


def test_the_people_kept_out_are_spread_over_the_folder():
    training, out = split_people(312)
    assert (len(training), len(out)) == (272, 40)
    assert not set(training) & set(out)
    assert max(np.diff(out)) <= 8
    assert split_people(6) == ([1, 3, 5], [0, 2, 4])
    rest, validation = split_validation(training)
    assert len(validation) == 16
    assert sorted(rest + validation) == training


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


def test_the_decoder_learns_and_the_code_stays(artist, tmp_path):
    vae, pictures = artist.pipeline.vae, small_pictures(generated_faces())
    latents = artist.encode_pictures(pictures)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    train_decoder(artist, toy_lessons(4).draw, Schedule(0.5, 1e-3, average=0.5), tmp_path / "decoder.pt")
    changed = {name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    vae.load_state_dict(before)  # others use it
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert torch.equal(artist.encode_pictures(pictures), latents)
    assert torch.equal(pack(unpack(latents, pictures.shape)), latents)

"""faceid.flux.fast.train: every part learns, a killed run goes on, and the weights are what `build_fast` loads."""

import logging
import random
from itertools import count

import numpy as np
import pytest
import torch
from fast_faces import generated_faces, small_pictures, toy_lessons
from flux_toys import FAST
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from torch import nn

from faceid.errors import SetupError
from faceid.flux.fast.build import build_fast, build_modules, seeded
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.fast.train import parse_arguments
from faceid.flux.fast.training.captions import COLOURS, caption_of, draw_caption
from faceid.flux.fast.training.decoding import train_decoder
from faceid.flux.fast.training.drawing import Artist, pack, shape_of, unpack
from faceid.flux.fast.training.face_tokens import FaceTokens
from faceid.flux.fast.training.faces import FaceSet, cut_out, find_pictures, split_people, split_validation, to_tensor
from faceid.flux.fast.training.loop import Schedule, Trainer, rate_at
from faceid.flux.fast.training.principal_components import start_from_components
from faceid.flux.fast.training.routing import listen, routing_loss
from faceid.flux.fast.training.stages import Plan, start_routes, train_all
from faceid.flux.fast.training.starting_points import SPREAD
from faceid.flux.fast.training.upscaler import fit_last_layer, gain_over_bicubic
from faceid.flux.fast.weight_files import FILES, FOLDER, UPSCALER_FILE
from faceid.flux.pipeline import load_fast


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small steps on busy cores: threads that wait for each other take several times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _generator_left_alone():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def artist():
    """An artist that is about to learn: routes are written, nothing is trained."""
    pipeline, adapter, tower, encoder = build_modules(0)
    artist = Artist(pipeline, adapter, FaceTokens(tower, encoder))
    start_from_components(pipeline.vae, small_pictures() * 2 - 1)
    start_routes(artist, small_pictures())
    return artist.requires_grad_(False)


def test_a_short_training_writes_every_weight_and_goes_on_where_it_was_killed(tmp_path, caplog):
    faces = generated_faces().select([0, 1])
    plan = Plan(faces, faces.select([]), tmp_path / "work", tmp_path / "weights", seconds=0.01)  # a step of each part
    with caplog.at_level(logging.INFO, logger="faceid.flux.fast.training"):
        train_all(plan)
    assert {path.name for path in plan.out.iterdir()} == {*FILES.values(), UPSCALER_FILE}
    first = {path.name: path.read_bytes() for path in plan.out.iterdir()}
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="faceid.flux.fast.training"):
        train_all(plan)
    assert caplog.text.count("going on from step 1,") == 4
    assert {path.name: path.read_bytes() for path in plan.out.iterdir()} == first
    assert load_fast(FAST, "any", plan.out).base_model == FAST


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
    pictures = small_pictures()
    worn = artist.wear(pictures, 0.0)
    assert -10 * (worn - pictures).square().mean().log10() > 25  # dB


def test_tokens_begin_as_the_latents_of_their_place(artist):
    pictures = small_pictures()
    tokens, latents = artist.face_tokens(pictures), artist.encode_pictures(pictures)
    told = tokens[..., : latents.shape[-1]]
    alike = nn.functional.cosine_similarity(told.flatten(0, 1), latents.flatten(0, 1), dim=-1)
    assert alike.mean() > 0.95


def test_the_routing_loss_is_small_where_every_token_asks_for_itself():
    own, same = torch.eye(4).view(1, 1, 4, 4) * 30, torch.arange(4)
    assert routing_loss(own, own, same) < 0.01 < routing_loss(own, own.flip(2), same)
    shifted = torch.cat([torch.zeros(1, 1, 1, 4), own[:, :, :3]], dim=2)
    assert routing_loss(shifted, own, same) > 1
    assert routing_loss(shifted, own, torch.tensor([-1, 0, 1, 2])) < 0.01


def test_cross_attentions_are_listened_to_and_left_as_they_were(artist):
    picture = small_pictures()[:1]
    one = torch.ones(1)
    given = (artist.encode_pictures(picture), one, ["photo"], artist.face_tokens(picture), one, shape_of(picture))
    with listen(artist.transformer.pulid_ca, torch.arange(64)) as heard:
        artist(*given)
    assert len(heard) == len(artist.transformer.pulid_ca)
    artist(*given)
    assert len(heard) == len(artist.transformer.pulid_ca)


def test_the_upscaler_s_last_layer_is_fitted_at_once():
    with seeded(0):
        upscaler = Compact(num_feat=8, num_conv=1, upscale=4)
    pictures = to_tensor(generated_faces().pictures)
    before = gain_over_bicubic(upscaler, pictures.float() / 255)
    fit_last_layer(upscaler, pictures)
    assert gain_over_bicubic(upscaler, pictures.float() / 255) > before + 1  # dB


def test_what_tells_colours_apart_is_louder_than_what_captions_share(artist):
    embedder = artist.transformer.time_text_embed.text_embedder

    def told(captions: list[str]) -> torch.Tensor:
        return embedder(artist.pool(captions))

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
    training, out = split_people(range(312), 40)
    assert (len(training), len(out)) == (272, 40)
    assert not set(training) & set(out)
    assert max(np.diff(out)) <= 8
    assert split_people("abcdef", 40) == (["b", "d", "f"], ["a", "c", "e"])
    assert split_people("ab", 0) == (["a", "b"], [])
    numbers = np.arange(len(training))
    rest, validation = split_validation(FaceSet(tuple(map(str, training)), numbers, numbers))
    assert len(validation.names) == 16
    assert sorted(map(int, rest.names + validation.names)) == training


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(SetupError, match="holds no picture"):
        find_pictures(tmp_path)


def test_a_person_is_cut_out_of_the_background():
    faces = generated_faces()
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


def test_weights_that_are_damaged_or_of_something_else_are_named(tmp_path):
    for name in (*FILES.values(), UPSCALER_FILE):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(SetupError, match=r"autoencoder.safetensors is damaged"):
        build_fast(weights=tmp_path)
    with pytest.raises(SetupError, match=r"upscaler.safetensors cannot be read"):
        load_enlarger(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / UPSCALER_FILE)
    with pytest.raises(SetupError, match=r"upscaler.safetensors cannot be read"):
        load_enlarger(tmp_path)


def test_the_decoder_learns_and_the_code_stays(artist, tmp_path):
    vae, pictures = artist.pipeline.vae, small_pictures()
    latents = artist.encode_pictures(pictures)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    train_decoder(artist, toy_lessons(2), Schedule(0.001, 1e-3, average=0.5), tmp_path / "decoder.pt")
    changed = {name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    vae.load_state_dict(before)  # others use it
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert torch.equal(artist.encode_pictures(pictures), latents)
    assert torch.equal(pack(unpack(latents, pictures.shape)), latents)

"""faceid.flux.image_to_image: diffusers' own pipelines at toy width, with the networks of the first, passes named."""

import copy

import numpy as np
import pytest
import torch
from flux_toys import draw, fast_engine, identity_tokens, mean_change
from PIL import Image
from pulid_toys import one_thread

from faceid.flux.fast import config
from faceid.flux.image_to_image import ImageToImage
from faceid.flux.redrawing_steps import count_steps

STEPS = 4


@pytest.fixture(autouse=True, scope="module")
def quick():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def generator():
    return fast_engine()[0]


@pytest.fixture(scope="module")
def redraw(generator) -> ImageToImage:
    return ImageToImage(generator.pipeline)


@pytest.fixture(scope="module")
def picture(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB").crop((170, 0, 298, 128)).resize((64, 64))


@pytest.fixture(scope="module")
def texts(generator) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        sequence, pooled = generator._embed("woman, snow")
        negative, negative_pooled = generator._embed("red")
    return {
        "prompt_embeds": sequence,
        "pooled_prompt_embeds": pooled,
        "negative_prompt_embeds": negative,
        "negative_pooled_prompt_embeds": negative_pooled,
    }


@pytest.fixture(scope="module")
def again(generator, redraw, picture, texts):
    """Draws the picture again: by default the person, from the first step."""

    def draw_again(*, strength=0.5, start=0, person=1, seed=1, weight=1.0, **given) -> np.ndarray:
        tokens, nobody = torch.from_numpy(identity_tokens(person)), generator.unconditional_tokens
        context = generator.adapter.identity(tokens, nobody, weight=weight, start_step=start)
        options = {
            "num_inference_steps": STEPS,
            "guidance_scale": 3.5,
            "max_sequence_length": config.MAX_SEQUENCE_LENGTH,
        }
        with torch.no_grad(), context:
            drawn = redraw(given.pop("picture", picture), texts, strength=strength, seed=seed, **(options | given))
        return np.asarray(drawn).astype(int)

    return draw_again


def test_the_networks_are_the_pipeline_s_own(generator, redraw):
    networks = {name: part for name, part in generator.pipeline.components.items() if isinstance(part, torch.nn.Module)}
    for redrawing in (redraw._whole, redraw._part):
        for name in networks.keys() - {"transformer"}:
            assert redrawing.components[name] is networks[name]
        assert redrawing.transformer._transformer is networks["transformer"]


def test_more_strength_is_more_change(again, picture):
    before = np.asarray(picture).astype(int)
    change = [mean_change(again(strength=strength), before) for strength in (0.0, 0.25, 0.75, 1.0)]
    assert change[0] == 0
    assert change == sorted(change)
    assert change[3] > change[1] + 5


def test_the_same_seed_is_the_same_picture(again):
    assert np.array_equal(again(), again())
    assert not np.array_equal(again(), again(seed=2))


def test_the_identity_is_drawn(again):
    assert mean_change(again(person=1), again(person=2)) > 2
    assert mean_change(again(weight=0.0), again(weight=1.0)) > 2


@pytest.mark.parametrize("masked", [False, True])
def test_the_identity_begins_at_its_step(again, masked):
    mask = {"mask": Image.new("L", (64, 64), 255)} if masked else {}
    drawn = {start: again(strength=0.75, start=start, **mask) for start in (0, 2, 3)}
    nobody = again(strength=0.75, weight=0.0, **mask)
    assert np.array_equal(drawn[3], nobody)  # three steps are drawn, from 0 to 2
    assert 0 < mean_change(drawn[2], nobody) < mean_change(drawn[0], nobody)


def test_true_cfg_s_second_pass_is_the_negative_one(generator, again):
    seen = []
    tracker = generator.adapter._tracker
    hook = generator.pipeline.transformer.register_forward_pre_hook(lambda *_: seen.append(tracker._context.name))
    try:
        guided = again(true_cfg_scale=3.0)
    finally:
        hook.remove()
    assert seen == ["cond", "uncond"] * count_steps(STEPS, 0.5)
    assert mean_change(guided, again()) > 1


def test_every_picture_begins_at_its_first_step(again):
    first = again(start=1)
    assert np.array_equal(first, again(start=1))  # a count that went on would start with the identity


def test_only_the_mask_is_drawn(again, picture):
    mask = Image.new("L", picture.size)
    mask.paste(255, (32, 0, 64, 64))
    change = np.abs(again(strength=0.75, mask=mask) - np.asarray(picture)).mean(axis=(0, 2))  # by column
    assert change[:28].mean() < 4  # it went through the VAE
    assert change[36:].mean() > 3 * change[:28].mean()


def test_every_step_is_told(again):
    told = []
    again(strength=0.5, tell=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("steps", "strength"), [(28, 0.3), (4, 0.3), (4, 0.2), (8, 0.99), (1, 1.0), (50, 0.01), (4, 0.0)]
)
def test_steps_are_counted_as_diffusers_does(redraw, steps, strength):
    pipeline = redraw._whole
    scheduler = copy.deepcopy(pipeline.scheduler)
    pipeline.scheduler.set_timesteps(steps)
    _, drawn = pipeline.get_timesteps(steps, strength, "cpu")
    pipeline.scheduler = scheduler
    assert count_steps(steps, strength) == drawn


def test_drawing_from_noise_is_as_it_was(again):
    before = draw()
    again()
    assert np.array_equal(draw(), before)

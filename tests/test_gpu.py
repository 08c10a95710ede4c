"""faceid.flux.gpu: what crosses the boundary, and the seconds asked for."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from flux_toys import draw, fast_engine, identity, pictures, short_request
from hypothesis import given
from hypothesis import strategies as st

from faceid.domain import GenerationRequest, StepDone
from faceid.errors import Unavailable
from faceid.flux import gpu

FLUX = GenerationRequest(
    base_model="flux1-dev",
    prompt="photo",
    seed=1,
    num_images=1,
    num_inference_steps=28,
    guidance_scale=3.5,
    width=1024,
    height=1024,
)


@pytest.fixture(autouse=True)
def fast_is_registered(restore_registered):
    gpu.register(fast_engine()[0])


def test_it_is_the_registered_generator_that_draws():
    results = list(gpu.generate_on_gpu(short_request(**identity())))
    assert results[:2] == [StepDone(0, 1, 2), StepDone(0, 2, 2)]
    assert np.array_equal(pictures(results)[0], draw(**identity()))


def test_requests_and_results_survive_pickling():
    request = short_request(negative_prompt="snow", **identity(0.7))
    copy = pickle.loads(pickle.dumps(request))
    assert copy.identities[0].strength == 0.7
    results = list(gpu.generate_on_gpu(copy))
    copies = pickle.loads(pickle.dumps(results))
    assert copies[:2] == results[:2]
    assert np.array_equal(pictures(copies)[0], pictures(results)[0])


def test_closing_it_stops_the_generator():
    results = gpu.generate_on_gpu(short_request(num_inference_steps=50))
    next(results)
    results.close()
    assert draw().shape == (64, 64, 3)  # a generator that still drew would refuse


def test_an_unknown_base_model_is_refused_with_the_loaded_ones():
    with pytest.raises(Unavailable, match=r"'flux1-dev' is not loaded here. Loaded: .*fast"):
        next(gpu.generate_on_gpu(FLUX))


def test_a_refusal_keeps_its_text_over_the_boundary():
    def run_out(module, args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = fast_engine()[0].pipeline.transformer.register_forward_pre_hook(run_out)
    try:
        with pytest.raises(Unavailable, match="ran out of GPU memory at 64 × 64 px"):
            list(gpu.generate_on_gpu(short_request()))
    finally:
        handle.remove()


def test_an_error_of_the_program_stays_as_it_is():
    with pytest.raises(ValueError, match="100 × 64"):
        next(gpu.generate_on_gpu(short_request(width=100)))


def test_the_seconds_of_the_standard_picture_are_tight():
    assert 15 <= gpu.estimate_duration(FLUX) <= 40
    assert gpu.estimate_duration(replace(FLUX, num_images=4)) < 4 * gpu.estimate_duration(FLUX)


@given(
    steps=st.integers(1, 49),
    images=st.integers(1, 7),
    width=st.integers(16, 127).map(lambda n: n * 16),
    height=st.integers(16, 127).map(lambda n: n * 16),
    model=st.sampled_from(["flux1-dev", "flux1-schnell", "fast", "another"]),
)
def test_the_seconds_grow_with_all_that_costs_time(steps, images, width, height, model):
    request = replace(FLUX, base_model=model, num_inference_steps=steps, num_images=images, width=width, height=height)
    seconds = gpu.estimate_duration(request, "more", of="anything")
    assert isinstance(seconds, int)
    assert seconds > 0
    for more in (
        {"num_inference_steps": steps + 1},
        {"num_images": images + 1},
        {"width": width + 16},
        {"height": height + 16},
        {"true_cfg_scale": 2.0},
    ):
        assert gpu.estimate_duration(replace(request, **more)) >= seconds
    much = {"num_inference_steps": steps * 8, "num_images": images * 8, "true_cfg_scale": 2.0}
    assert gpu.estimate_duration(replace(request, **much)) > seconds


def test_importing_it_does_not_import_torch():
    code = "import sys, faceid.flux.gpu; sys.exit(int('torch' in sys.modules or 'gradio' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

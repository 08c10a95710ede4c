"""faceid.flux.gpu: what crosses the boundary, and the seconds asked for."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from flux_toys import draw, fast_engine, identity, pictures, short_request
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from faceid.bench.generation import counting_passes
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
    assert 15 <= gpu.estimate_duration(FLUX) <= 25
    four_on_half_a_card = 1.5 * gpu.estimate_duration(replace(FLUX, num_images=4))
    assert four_on_half_a_card < 120  # an anonymous visitor's quota of a day


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"num_images": 3},
        {"num_inference_steps": 5},
        {"true_cfg_scale": 4.0, "negative_prompt": "rain"},
        {"true_cfg_scale": 4.0, "negative_prompt": "rain", "num_inference_steps": 4, "true_cfg_start": 0.5},
        {"identity_start": 0.5, **identity()},
        {"width": 96, "height": 48},
    ],
)
def test_the_work_that_is_paid_for_is_the_work_that_is_done(plan):
    """Counted, not timed: passes of the transformer and pictures decoded, as `estimate_seconds` multiplies them."""
    request = short_request(**plan)
    generator, decoded = fast_engine()[0], []
    handle = generator.pipeline.vae.decoder.register_forward_pre_hook(lambda *_: decoded.append(1))
    try:
        with counting_passes(generator) as passes:
            drawn = pictures(gpu.generate_on_gpu(request))
    finally:
        handle.remove()
    assert len(passes) == request.num_images * gpu.count_passes(request)
    assert len(decoded) == len(drawn) == request.num_images
    pace, area = gpu.PACES["fast"], request.width * request.height / 64**2
    work = gpu.pass_work(request.width, request.height) / gpu.pass_work(64)
    seconds = len(passes) * pace.denoising * work + len(decoded) * pace.decoding * area
    assert gpu.estimate_seconds(request) == pytest.approx(seconds)


@pytest.mark.parametrize("side", [512, 768, 1536, 2048])
def test_sizes_cost_what_flux_multiplies_for_them(side):
    """Flux's own widths on the device `meta`; 1 double and 2 single blocks stand for its 19 and 38."""

    def multiplications(side: int) -> int:
        tokens, options = (side // 16) ** 2, {"device": "meta"}
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            transformer(
                hidden_states=torch.empty(1, tokens, 64, **options),
                encoder_hidden_states=torch.empty(1, gpu.TEXT_TOKENS, 4096, **options),
                pooled_projections=torch.empty(1, 768, **options),
                timestep=torch.empty(1, **options),
                guidance=torch.empty(1, **options),
                img_ids=torch.empty(tokens, 3, **options),
                txt_ids=torch.empty(gpu.TEXT_TOKENS, 3, **options),
            )
        return counter.get_total_flops()

    with torch.device("meta"):
        transformer = FluxTransformer2DModel(num_layers=1, num_single_layers=2, guidance_embeds=True)
    counted = multiplications(side) / multiplications(1024)
    assert gpu.pass_work(side) / gpu.pass_work(1024) == pytest.approx(counted, rel=0.05)


def test_what_is_drawn_faster_is_paid_for_as_if_it_were_not():
    assert gpu.estimate_duration(replace(FLUX, faster=True)) == gpu.estimate_duration(FLUX)


def test_what_zero_gpu_says_reaches_the_visitor():
    quota = "You have exceeded your ZeroGPU quota (45s requested vs. 3s left). Try again in 0:10:00. "
    assert gpu.explain_zero_gpu("ZeroGPU quota exceeded", quota) == f"ZeroGPU quota exceeded: {quota}"
    assert "fewer pictures" in gpu.explain_zero_gpu("ZeroGPU worker error", "GPU task aborted")
    assert gpu.explain_zero_gpu("ZeroGPU worker error", "RuntimeError") is None


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

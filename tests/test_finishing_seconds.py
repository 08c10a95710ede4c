"""faceid.flux.finishing_seconds: what finishing adds to the duration asked of ZeroGPU, and how it grows."""

import numpy as np
import pytest
from flux_toys import short_request

from faceid.finishes import ORDER, Finishing
from faceid.flux import gpu
from faceid.flux.finishing_seconds import finishing_seconds
from faceid.flux.redrawing_steps import drawn_steps
from faceid.starting_pictures import StartingPicture

LARGE = {"base_model": "flux1-dev", "width": 1024, "height": 1024, "num_inference_steps": 28}


def seconds(num_images=1, **finishing) -> float:
    request = short_request(**LARGE, num_images=num_images, finishing=Finishing(**finishing))
    return finishing_seconds(request, denoising=0.4, decoding=0.5)


def test_nothing_takes_no_time():
    assert seconds() == 0


@pytest.mark.parametrize("name", ORDER)
def test_every_step_takes_time(name):
    value = {"face_swap": np.ones(512), "face_correct": 0.8, "color_grading": "Ektar"}.get(name, True)
    assert seconds(**{name: value}) > 0
    assert seconds(num_images=3, **{name: value}) == pytest.approx(3 * seconds(**{name: value}))


def test_an_enlarged_picture_has_many_tiles():
    alone, after = seconds(hires_fix=True), seconds(hires_fix=True, super_resolution=True)
    assert after - seconds(super_resolution=True) == pytest.approx(25 * alone)  # 4096 px in tiles of 1024


def test_the_gpu_is_asked_for_it():
    request = short_request(**LARGE)
    finished = short_request(**LARGE, finishing=Finishing(super_resolution=True))
    assert gpu.estimate_duration(finished) > gpu.estimate_duration(request)


def test_a_start_from_a_picture_takes_fewer_passes():
    start = StartingPicture(np.zeros((1024, 1024, 3), np.uint8), 0.25)
    request = short_request(**LARGE, start=start)
    assert drawn_steps(request) == gpu.count_passes(request) == 7
    guided = short_request(**LARGE, start=start, true_cfg_scale=3.0, negative_prompt="x", true_cfg_start=0.0)
    assert gpu.count_passes(guided) == 14

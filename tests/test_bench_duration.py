"""faceid.bench's figure of ZeroGPU's seconds: the table holds every plan and is computed right. No time is judged."""

import pytest

from faceid.bench.duration import PLANS, measure_duration
from faceid.bench.figures import FIGURES

PLAN = {"num_inference_steps": 2, "num_images": 2}


@pytest.fixture(scope="module")
def measured():
    return measure_duration({"one": {"num_inference_steps": 1}, "two": PLAN}, rounds=1)


def test_every_plan_is_held_against_the_reference(measured):
    lines = [line.strip("| ").split(" | ") for line in measured.done.splitlines() if line.startswith("|")]
    rows = {name: [float(cell) for cell in cells] for name, *cells in lines[2:]}
    assert list(rows) == ["one", "two"]
    for asked, drawing, used, off in rows.values():
        assert asked > drawing > 0
        assert used > 0
        assert off >= 1
    assert rows["two"][1] > rows["one"][1]
    assert measured.value == pytest.approx(max(off for *_, off in rows.values()), abs=0.01)


def test_the_plans_differ_in_all_that_costs_time():
    differing = {name for plan in PLANS.values() for name in plan}
    assert differing >= {"num_inference_steps", "num_images", "true_cfg_scale", "width"}


def test_it_is_one_of_the_figures():
    (figure,) = (figure for figure in FIGURES if figure.name == "duration")
    assert figure.promise == "≤ 1.3"

"""faceid.bench's figures of a generation and of a GPU: each is produced, at toy width, and says what was done."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from offline_mode import offline  # noqa: F401
from pulid_toys import one_thread
from tiny_base_models import cache_sources, write_base_models

from faceid.base_models import find_base_model
from faceid.bench import __main__ as command
from faceid.bench.figures import FIGURES, Figure
from faceid.bench.generation import (
    build_generator,
    build_request,
    counting_passes,
    draw,
    measure_faster,
    measure_kept,
    measure_loop,
    time_works_in_turn,
)
from faceid.bench.gpu import Cost, PeakMemory, measure_gpu, measure_rung, rungs, table
from faceid.cuda import has_cuda
from faceid.errors import SetupError

README = (Path(__file__).parents[1] / "README.md").read_text()
DEV = find_base_model("flux1-dev")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


def test_works_take_turns():
    done = []
    medians = time_works_in_turn([lambda: done.append("a"), lambda: done.append("b")], rounds=2)
    assert "".join(done) == "ab" * 3
    assert len(medians) == 2


def test_the_loop_is_measured_beside_a_stock_pipeline():
    measured = measure_loop(rounds=1, steps=2)
    assert 0.2 < measured.value < 5
    assert "2 steps" in measured.done


def test_what_is_kept_gives_the_same_bits():
    measured = measure_kept(rounds=1)
    assert measured.value > 0
    assert "the same bits" in measured.done


def test_faster_tells_the_steps_computed_and_the_change():
    measured = measure_faster(rounds=1, steps=8)
    computed, steps, change = re.search(r"(\d+) of (\d+) steps .* change is ([\d.]+)", measured.done).groups()
    assert 1 <= int(computed) <= int(steps) == 8
    assert (int(computed) == 8) == (float(change) == 0)


def test_skipped_steps_are_not_counted():
    generator = build_generator(skipping_threshold=1e9)
    with counting_passes(generator) as passes:
        draw(generator, build_request(steps=4, side=16, faster=True))
        assert len(passes) == 1
        draw(generator, build_request(steps=4, side=16))
    assert len(passes) == 5


# On a GPU


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_base_models(folder, tmp_path_factory.mktemp("scratch"))
    return folder


TOY_DEV = replace(DEV, native_side=32, default_steps=1)
MEMORY = PeakMemory(reset=lambda: None, read=lambda: 7_500_000_000)


def test_a_base_model_is_measured_on_the_rung_that_is_asked_for(cache, tmp_path, caplog):
    with caplog.at_level("INFO", logger="faceid"):
        cost = measure_rung(TOY_DEV, DEV.ladder[2], lock_dir=tmp_path, sources=cache_sources(cache), memory=MEMORY)
    assert "flux1-dev: fp8, model offload on cpu" in caplog.text
    assert cost.seconds > 0
    assert (cost.peak_gb, cost.missing) == (7.5, "")


def test_what_does_not_fit_or_cannot_be_had_says_why(cache, tmp_path):
    little = cache_sources(cache, free=9.0)
    cost = measure_rung(TOY_DEV, DEV.ladder[0], lock_dir=tmp_path, sources=little, memory=MEMORY)
    assert cost == Cost(missing="9.0 GB are free, 40 GB are wanted")
    elsewhere = replace(TOY_DEV, repo="black-forest-labs/FLUX.1-Krea-dev")  # not in the cache
    cost = measure_rung(elsewhere, DEV.ladder[0], lock_dir=tmp_path, sources=cache_sources(cache), memory=MEMORY)
    assert cost.seconds is None
    assert "FLUX.1-Krea-dev" in cost.missing


def test_the_readme_has_the_table_with_empty_cells():
    empty = table([(model, rung, Cost()) for model, rung in rungs()])
    assert "\n".join(empty) in README
    assert len(empty) == 2 + sum(len(model.ladder) for model in {model for model, _ in rungs()})
    (filled,) = table([(DEV, DEV.ladder[1], Cost(6.62, 27.04))])[2:]
    assert filled == "| `flux1-dev` | fp8 | 28 | 6.6 | 27.0 |"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_is_left_out_unless_it_is_asked_for(capsys):
    assert not has_cuda(zero_gpu=False)
    gpu = next(figure for figure in FIGURES if figure.name == "gpu")
    assert command.main([], [gpu]) == 0
    assert "no CUDA device" not in capsys.readouterr().out
    assert command.main(["gpu"], [gpu]) == 1
    assert "no CUDA device" in capsys.readouterr().out
    with pytest.raises(SetupError, match="no CUDA device"):
        measure_gpu()


def test_a_table_in_what_was_done_stays_a_table(capsys):
    figure = Figure("toy", "a toy", f"{__name__}:measure_table", "a test", unit="s")
    assert command.main([], [figure]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| a | b |" in lines
    assert not any("met" in line for line in lines)


def measure_table():
    from faceid.bench.figures import Measurement

    return Measurement(1.0, "first\n| a | b |\n| 1 | 2 |")

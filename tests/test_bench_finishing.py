"""faceid.bench.finishing: every step is measured and stands in the table. No time is judged here."""

import re
from pathlib import Path

import pytest
from spandrel.architectures.Compact import Compact
from spandrel.architectures.GFPGAN import GFPGAN

from faceid.bench.finishing import Cost, build_networks, measure, measure_finishing, table
from faceid.finishes import ORDER
from faceid.finishing.face_correct import FaceCorrect
from faceid.finishing.super_resolution import SuperResolution

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")


def toys() -> tuple[SuperResolution, FaceCorrect]:
    restorer = GFPGAN(
        out_size=512, num_style_feat=32, channel_multiplier=1, num_mlp=1, input_is_latent=True, different_w=True,
        narrow=0.0625, sft_half=True,
    )  # fmt: skip
    return SuperResolution(Compact(num_feat=4, num_conv=1, upscale=4), tile=64, overlap=8), FaceCorrect(restorer)


def test_every_step_but_the_swap_is_measured():
    measured = measure_finishing(128, toys)
    rows = re.findall(r"^\| (\w+)[^|]* \| (\d+) px \| ([\d.]+) \| \d+ \| ([\d.]+)% \|$", measured.done, re.MULTILINE)
    assert [row[0] for row in rows] == [name for name in ORDER if name != "face_swap"]
    assert {row[1] for row in rows} == {"128", "512"}
    assert sum(float(row[3]) for row in rows) == pytest.approx(100, abs=0.5)
    assert measured.value == pytest.approx(sum(float(row[2]) for row in rows), abs=0.05)
    assert "9 tiles" in measured.done


def test_memory_is_what_a_step_adds():
    kept = []
    cost = measure("toy", 1, lambda: kept.append(bytearray(64 * 2**20)))
    assert cost.peak > 48 * 2**20
    assert measure("toy", 1, lambda: None).peak < 16 * 2**20


def test_memory_that_was_used_before_counts_again():
    def fill() -> list[bytes]:
        return [bytes(100_000) for _ in range(640)]

    freed, last = fill(), bytes(100_000)  # the last keeps the heap from shrinking by itself
    del freed
    assert measure("toy", 1, fill).peak > 48 * 2**20
    del last


def test_tiles_count_each():
    assert table([Cost("a", 4, 3.0, 2**20), Cost("b", 4, 1.0, 0)])[2] == "| a | 4 px | 3.00 | 1 | 75.0% |"


def test_the_networks_are_the_real_ones():
    upscaler, restorer = build_networks()
    count = {name: sum(p.numel() for p in network.parameters()) for name, network in (
        ("upscaler", upscaler.network), ("restorer", restorer.network),
    )}  # fmt: skip
    assert count["upscaler"] == 16_697_987  # RealESRGAN_x4plus, 64 MB as float32
    assert count["restorer"] == pytest.approx(333e6 / 4, rel=0.06)

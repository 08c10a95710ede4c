"""faceid.web.settings_panel: what is typed on the page, as the studio takes it."""

import gradio as gr
import pytest

from faceid.domain import Upload
from faceid.planning import DEFAULT_TRUE_CFG
from faceid.web.settings_panel import SettingsPanel, guidance_and_start
from faceid.web.uploads import add_upload


@pytest.fixture
def panel(make_studio):
    with gr.Blocks() as page:
        panel = SettingsPanel(make_studio())
    panel.page = page
    return panel


@pytest.mark.parametrize(
    ("typed", "seed"),
    [(None, None), (" ", None), ("7", 7), (" 7 ", 7), ("-1", -1), ("x", "x"), ("9" * 5000, "9" * 5000)],
)
def test_a_seed_is_a_number_or_left_for_the_studio_to_refuse(panel, typed, seed):
    assert shown(panel, seed=typed)["seed"] == seed


def shown(panel, **changes) -> dict:
    """The fields of a page on which nothing was changed but that."""
    values = [changes.get(name, part.value) for name, part in panel._fields.items()]
    return panel.fields_of(tuple(values))


def test_what_nobody_chose_is_not_asked_for(panel):
    fields = shown(panel)
    unasked = ("aspect_ratio", "style", "color_grading", "input_image", "mask_image", "denoising_strength")
    assert [fields[name] for name in unasked] == [None] * len(unasked)


def test_how_much_is_drawn_again_goes_with_a_picture(panel, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    start = add_upload(Upload("start.png", b"a picture"))
    assert shown(panel, input_image=start)["denoising_strength"] == 0.8


def reused(panel, **recipe) -> dict:
    """What a recipe sets, without what stays as it is on the page."""
    values = dict(zip([*panel._fields, "preset"], panel.reused(recipe), strict=True))
    assert len(values) == len(panel.reusable)
    assert values.pop("preset") is None  # the sliders are as the recipe says, whatever was chosen before
    return {name: value for name, value in values.items() if value != gr.skip()}


def test_a_recipe_sets_also_what_was_not_chosen(panel):
    nothing = {"aspect_ratio": "", "style": "", "color_grading": ""}
    assert reused(panel, text="a") == nothing | {"input_image": None, "mask_image": None}
    assert reused(panel, denoising_strength=0.5) == nothing | {"denoising_strength": 0.5}  # whose picture may be there
    chosen = {"aspect_ratio": "16:9", "style": "Line art", "color_grading": "Ektar"}
    assert reused(panel, denoising_strength=0.5, **chosen) == chosen | {"denoising_strength": 0.5}


@pytest.mark.parametrize("recipe", [{"style": "Baroque"}, {"aspect_ratio": "7:1"}, {"steps": 10**6}])
def test_what_the_page_does_not_offer_stays_as_it_is(panel, recipe):
    assert not recipe.keys() & reused(panel, **recipe).keys()


def test_a_recipe_without_a_negative_prompt_leaves_its_strength(panel):
    assert "true_cfg_scale" not in reused(panel, negative_prompt="", true_cfg_scale=1.0)
    assert reused(panel, negative_prompt="hat", true_cfg_scale=2.0)["true_cfg_scale"] == 2.0
    assert shown(panel, negative_prompt="hat")["true_cfg_scale"] == DEFAULT_TRUE_CFG


@pytest.mark.parametrize(
    ("preset", "style", "values"),
    [
        (None, "", (3.5, 0.14)),
        (None, "Photographic", (3.5, 0.14)),
        (None, "Fantasy art", (4.0, 0.04)),
        (None, "Line art", (4.0, 0.0)),
        ("photo", "Line art", (3.5, 0.14)),  # a preset goes before a style
        ("art", "", (4.0, 0.04)),
    ],
)
def test_preset_and_style_move_the_sliders(preset, style, values):
    assert guidance_and_start(preset, style, "flux1-dev") == values


def test_only_a_visitor_s_choice_of_the_base_model_moves_the_sliders(panel):
    """What a recipe sets stays: `change` would fire for it too, and undo its steps and guidance."""
    calls = panel.page.config["dependencies"]
    events = [event for call in calls for part, event in call["targets"] if part == panel.base_model._id]
    assert sorted(events) == ["change", "input"]
    (changing,) = (call for call in calls if (panel.base_model._id, "change") in map(tuple, call["targets"]))
    assert changing["outputs"] == [step._id for step in panel.finishing.steps.values()]

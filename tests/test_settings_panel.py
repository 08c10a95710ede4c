"""faceid.web.settings_panel: what is typed on the page, as the studio takes it."""

import gradio as gr
import pytest

from faceid.web.settings_panel import SettingsPanel


@pytest.fixture
def panel(make_studio):
    with gr.Blocks():
        return SettingsPanel(make_studio())


@pytest.mark.parametrize(
    ("typed", "seed"),
    [(None, None), (" ", None), ("7", 7), (" 7 ", 7), ("-1", -1), ("x", "x"), ("9" * 5000, "9" * 5000)],
)
def test_a_seed_is_a_number_or_left_for_the_studio_to_refuse(panel, typed, seed):
    shown = [component.value for component in panel.inputs]
    shown[panel.inputs.index(panel.seed)] = typed
    assert panel.fields_of(tuple(shown))["seed"] == seed

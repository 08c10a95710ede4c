"""faceid.web.generate_tab: a page that is opened shows its visitor's last prompt, and follows it until it is drawn."""

from collections.abc import Callable
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from prompts_kept import make_studio
from starlette.requests import Request
from tunes_kept import KEY, make_photo

from faceid.domain import GenerationRequest, Prompt, Tune
from faceid.store import TuneStore
from faceid.web.generate_tab import DELETED, GenerateTab
from faceid.web.owners import LOCAL, Owners
from faceid.web.visitor import Visitor

HERE = gr.Request(Request({"type": "http", "headers": [(b"host", b"127.0.0.1:7860")]}))
PROMPT = Prompt(0, LOCAL, "a woman", "fast", parameters={"num_images": 2})


@pytest.fixture
def tab(store) -> GenerateTab:
    return make_tab(store, lambda *_: None)


def make_tab(store: TuneStore, before: Callable[[GenerationRequest, int], None]) -> GenerateTab:
    """The tab of somebody at home; `before` is called before each picture."""
    with gr.Blocks():
        visitor = Visitor(make_studio(store, before), Owners(b"secret", local=True), gr.BrowserState(None))
        return GenerateTab(visitor)


def draw(store: TuneStore, prompt: Prompt, *, pictures: int, done: bool = True) -> Prompt:
    """The prompt, kept, with so many pictures."""
    kept = store.add_prompt(prompt)
    store.start_prompt(kept.id)
    for index in range(pictures):
        store.add_picture(kept.id, index, 7 + index, b"a picture", "strong")
    if done:
        store.finish_prompt(kept.id)
    return kept


def brought_back(tab: GenerateTab, text: str = "") -> dict:
    """What is shown on a page that is opened, by the components' names in the tab and its panel."""
    return _named(tab, tab.bring_back(HERE, None, text))


def followed(tab: GenerateTab, prompt: Prompt, drawn: list) -> dict:
    return _named(tab, tab.follow(HERE, None, prompt.id, drawn))


def _named(tab: GenerateTab, updates: dict) -> dict:
    parts = {part: name.lstrip("_") for owner in (tab.pictures, tab) for name, part in vars(owner).items()
             if isinstance(part, gr.blocks.Block)}  # fmt: skip
    return {parts[part]: value for part, value in updates.items()}


def test_nobody_s_prompt_and_another_s_bring_nothing_back(tab, store):
    assert brought_back(tab) == {}
    draw(store, replace(PROMPT, owner="somebody else"), pictures=2)
    assert brought_back(tab) == {}
    elsewhere = gr.Request(Request({"type": "http", "headers": [(b"host", b"evil.example")]}))
    assert tab.bring_back(elsewhere, None, "") == {}


def test_the_last_prompt_comes_back_as_if_just_drawn(tab, store):
    draw(store, replace(PROMPT, id=1), pictures=1)
    last = draw(store, replace(PROMPT, id=2, text="a man"), pictures=2)
    shown = brought_back(tab)
    assert [caption for _, caption in shown["gallery"]] == ["seed 7 · strong likeness", "seed 8 · strong likeness"]
    assert [picture.path for picture in shown["drawn"]] == [path for path, _ in shown["gallery"]]
    assert (shown["text"], shown["prompt_id"], shown["details"]["seeds"]) == ("a man", last.id, [7, 8])
    assert shown["progress"]["line"] == "2 pictures are done."
    assert (shown["following"].active, shown["cancel"].visible) == (False, False)


def test_what_was_written_meanwhile_stays(tab, store):
    draw(store, PROMPT, pictures=1)
    assert "text" not in brought_back(tab, "a man")


@pytest.mark.parametrize(
    ("status", "line"), [("cancelled", "Cancelled. 1 picture is done."), ("failed", "Out of memory.")]
)
def test_one_that_came_to_nothing_says_so(tab, store, status, line):
    prompt = draw(store, PROMPT, pictures=1, done=False)
    store.fail_prompt(prompt.id, "Out of memory.", status=status)
    assert brought_back(tab)["progress"]["line"] == line


def test_one_that_is_still_being_drawn_is_followed_to_its_end(tab, store):
    prompt = store.add_prompt(PROMPT)
    shown = brought_back(tab)
    assert (shown["following"].active, shown["cancel"].visible) == (True, True)
    assert "waiting" in shown["progress"]["line"]
    assert shown.keys().isdisjoint({"generate", "drawing_id"})  # it may be a script's: another can be drawn meanwhile

    store.start_prompt(prompt.id)
    picture = store.add_picture(prompt.id, 0, 7, b"a picture")
    shown = followed(tab, prompt, [])
    assert shown["drawn"] == [picture]
    assert (shown["progress"]["line"], shown["progress"]["percent"]) == (
        "Your last pictures are still being drawn. 1 picture is done.", 50,
    )  # fmt: skip
    assert followed(tab, prompt, [picture]).keys() == {"progress", "details"}  # the gallery may be looked at

    store.finish_prompt(prompt.id)
    shown = followed(tab, prompt, [picture])
    assert (shown["following"].active, shown["cancel"].visible) == (False, False)


def test_one_that_is_followed_can_be_cancelled(tab, store):
    prompt = store.add_prompt(PROMPT)
    tab.cancel(HERE, None, prompt.id)
    assert followed(tab, prompt, [])["progress"]["line"] == "Cancelled. 0 pictures are done."


def test_what_is_drawn_next_is_not_followed_beside_being_shown(tab):
    settings = [part.value for part in tab._settings.inputs]
    started = _named(tab, next(tab.draw(HERE, None, None, "a woman", 1, *settings)))
    assert (started["following"].active, started["cancel"].visible) == (False, True)


def test_pictures_go_with_their_tune(tab, store):
    before = draw(store, replace(PROMPT, id=1), pictures=1)
    tune = Tune(id=0, owner=LOCAL, title="Ada", name="woman")
    tune, _ = store.add_tune(tune, [make_photo(1)], {KEY: np.zeros((1, 32, 2048), np.float16)})
    prompt = draw(store, replace(PROMPT, id=2, tune_ids=(tune.id,)), pictures=1, done=False)
    shown = brought_back(tab)
    assert (shown["prompt_id"], shown["chosen"]) == (prompt.id, tune.id)
    store.delete_tune(LOCAL, tune.id)
    gone = followed(tab, prompt, shown["drawn"])
    assert (gone["gallery"], gone["drawn"], gone["details"], gone["following"].active) == ([], [], None, False)
    assert brought_back(tab)["prompt_id"] == before.id


def test_a_picture_that_was_deleted_meanwhile_cannot_be_picked_and_tells_no_path(tab, store):
    prompt = draw(store, PROMPT, pictures=1)
    shown = store.get_prompt(LOCAL, prompt.id).pictures
    first = gr.EventData(None, {"index": 0})
    assert tab.pictures.pick(first, shown)[-1] == shown[0].path
    store.delete_prompt(LOCAL, prompt.id)
    with pytest.raises(gr.Error, match=r"^'This picture is not there any more\. Draw it again\.'$"):
        tab.pictures.pick(first, shown)


def test_a_page_that_draws_what_is_deleted_shows_nothing_of_it(store):
    def delete_before_the_second(request: GenerationRequest, index: int) -> None:
        if index == 1:
            (prompt,) = store.list_prompts(LOCAL)
            store.delete_prompt(LOCAL, prompt.id)

    tab = make_tab(store, delete_before_the_second)
    settings = [component.value for component in tab._settings.inputs]
    *_, ended = tab.draw(HERE, None, None, "a woman", 3, *settings)
    shown = _named(tab, ended)
    assert (shown["gallery"], shown["drawn"], shown["details"]) == ([], [], None)
    assert shown["progress"]["line"] == DELETED
    assert shown["generate"].interactive

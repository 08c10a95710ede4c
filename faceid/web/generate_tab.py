"""The page's tab where a prompt becomes pictures: who, what, the settings, and a gallery that fills as they come."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from faceid.domain import PictureFile, PromptFields
from faceid.drawing import Generation
from faceid.errors import Cancelled, FaceIDError, InvalidRequest, NotAdmitted, NotFound
from faceid.limits import LIMITS
from faceid.prompt_syntax import name_person
from faceid.validation import check_id
from faceid.web import cards
from faceid.web.pictures_panel import PicturesPanel
from faceid.web.presenting import in_page_words, progress_of
from faceid.web.reusing import recipe_of
from faceid.web.settings_panel import SettingsPanel
from faceid.web.visitor import QUIET, Visitor, event_value

IDEAS = (
    "black and white photo, studio",
    "photo, in the alps, warm light",
    "pencil sketch",
    "comic book, night city",
    "photo, on the beach, blue hour",
)
# On a phone the pictures are below the fold.
SHOW_PICTURES = "() => document.getElementById('gallery').scrollIntoView({behavior: 'smooth', block: 'nearest'})"
FOLLOWING_SECONDS = 1.0  # how often the page looks how far that is which it did not ask for itself
BUSY = "Your last pictures are still being drawn. Wait for them, or press Cancel first."
DELETED = "These pictures were deleted while they were drawn, or the person in them was."
NO_PROMPT = "The prompt is empty. Say what to draw, or click an idea."
DRAWN_FROM = "It was drawn from a picture, which its file does not hold: choose that under “Start from a picture”."


class GenerateTab:
    """The tab's components and what happens on them. The other tabs use `people`, `text`, `chosen` and `pictures`."""

    def __init__(self, visitor: Visitor):
        self._visitor = visitor
        self.chosen = gr.State(None)
        self._prompt_id, self._drawing_id = gr.State(None), gr.State(None)  # what is shown, what is drawn from here
        self._following = gr.Timer(FOLLOWING_SECONDS, active=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._build_wish()
            with gr.Column(scale=6, min_width=320):
                self.pictures = PicturesPanel()
        self._wire()

    def _build_wish(self) -> None:
        self.people = cards.people_cards("people")
        self.text = gr.Textbox(
            label="Prompt",
            placeholder="<faceid:ID:1> woman trekking in the alps",
            lines=3,
            max_lines=8,
            max_length=int(LIMITS["text"].high),
            elem_id="prompt",
        )
        self._ideas = gr.Dataset(
            components=[self.text],
            samples=[[idea] for idea in IDEAS],
            label="Ideas: one click draws it",
            elem_id="ideas",
        )
        low, high, default, _ = LIMITS["num_images"]
        self._num_images = gr.Slider(low, high, value=default, step=1, label="Pictures", elem_id="num-images")
        with gr.Row():
            self._generate = gr.Button("Generate", variant="primary", elem_id="generate")
            self._cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
        self._settings = SettingsPanel(self._visitor.studio)
        self.strength, self.finishing = self._settings.strength, self._settings.finishing
        self.base_model = self._settings.base_model
        self._labels = {"text": self.text.label, "num_images": self._num_images.label, **self._settings.labels}

    def _wire(self) -> None:
        key, strength, pictures = self._visitor.browser_key, self.strength, self.pictures
        buttons = [self._generate, self._cancel]
        drawing = {
            "fn": self.draw,
            "inputs": [key, self._drawing_id, self.text, self._num_images, *self._settings.inputs],
            "outputs": [*pictures.outputs, self._prompt_id, self._drawing_id, *buttons, self._following],
            "concurrency_limit": None,
            **QUIET,
        }
        self.choice = [self.text, self.chosen, self.people]
        self.choice_or_error = [*self.choice, pictures.progress]
        followed = [*pictures.outputs, self._cancel, self._following]
        self.brought_back = [*followed, self._prompt_id, self.text, self.chosen]
        gr.on([self._generate.click, self.text.submit], **drawing)
        gr.on([self._generate.click, self._ideas.click], None, js=SHOW_PICTURES, **QUIET)
        self._cancel.click(self.cancel, [key, self._prompt_id], [self._cancel, pictures.progress], **QUIET)
        self._following.tick(self.follow, [key, self._prompt_id, pictures.drawn], followed, **QUIET)
        self.people.select(self.choose_card, [key, self.text, strength], self.choice_or_error, **QUIET)
        strength.release(self.choose, [key, self.chosen, self.text, strength], self.choice, **QUIET)
        self.example_used = self._ideas.click(
            self.use_idea, [key, self._ideas, self.chosen, strength], self.choice_or_error, **QUIET
        )
        self.example_used.success(**drawing)
        reused = [self.text, *self._settings.reusable, pictures.progress]
        steps = list(self.finishing.steps.values())
        for reusing, file in (
            (pictures.reuse_all.click, pictures.picked_path),
            (pictures.opened.upload, pictures.opened),
        ):
            reusing(self.reuse, file, reused, **QUIET).then(self.finishing.switch, self.base_model, steps, **QUIET)
        pictures.reuse.click(lambda seed: seed, pictures.picked_seed, self._settings.seed, **QUIET)

    def draw(
        self,
        request: gr.Request,
        browser_key: str | None,
        before: int | None,
        text: str,
        num_images: int,
        *settings: Any,
    ) -> Iterator[dict]:
        """Check and queue the wish, then show every step and picture; `before`: the prompt this page drew last."""
        try:
            owner = self._visitor.owner(request, browser_key)
            if self._is_unfinished(owner, before):
                raise InvalidRequest(BUSY, field="text")
            if not text.strip():
                raise InvalidRequest(NO_PROMPT, field="text")
            fields = PromptFields(text=text, num_images=num_images, **self._settings.fields_of(settings))
            generation = self._visitor.studio.generate(owner, fields)
        except FaceIDError as error:
            yield {self.pictures.progress: cards.failed(in_page_words(error, self._labels))}
            return
        yield self.pictures.started(generation.prompt) | {
            self._prompt_id: generation.prompt.id,
            self._drawing_id: generation.prompt.id,
            self._following: gr.Timer(active=False),
            **self._buttons(drawing=True),
        }
        yield from self._show(generation)

    def _show(self, generation: Generation) -> Iterator[dict]:
        """Every step and picture, and how it ended."""
        pictures: list[PictureFile] = []
        drawn = generation.request.num_images
        choosing = generation.prompt.parameters["num_images"] < drawn
        status, user_error = "done", None
        try:
            for event in generation.events():
                update = {self.pictures.progress: cards.running(*progress_of(event, drawn, choosing=choosing))}
                if isinstance(event, PictureFile):
                    pictures = [*pictures, event]
                    update |= self.pictures.with_pictures(pictures)
                yield update
        except Cancelled:
            status = "cancelled"
        except FaceIDError as error:
            status, user_error = "failed", str(error)
        stand = self.pictures.stand_of(generation.as_of(pictures, status, user_error), pictures)
        if generation.is_deleted():
            stand = self.pictures.emptied() | {self.pictures.progress: cards.failed(DELETED)}
        yield stand | self._buttons(drawing=False)

    def _buttons(self, *, drawing: bool) -> dict:
        return {self._generate: gr.Button(interactive=not drawing)} | self._cancelling(drawing)

    def _cancelling(self, possible: bool) -> dict:
        return {self._cancel: gr.Button("Cancel", visible=possible, interactive=possible)}

    def bring_back(self, request: gr.Request, browser_key: str | None, text: str) -> dict:
        """The visitor's newest prompt, as it stands, on a page that is opened; nothing where there is none.

        What was written there meanwhile stays, and another can be drawn before this one has ended.
        """
        studio = self._visitor.studio
        try:
            owner = self._visitor.owner(request, browser_key)
        except NotAdmitted:
            return {}
        studio.delete_expired()
        newest = studio.list_prompts(owner, limit=1)
        if not newest:
            return {}
        (prompt,) = newest
        drawing = prompt.finished_at is None
        words = {} if text else {self.text: prompt.text, self.chosen: next(iter(prompt.tune_ids), None)}
        following = {self._prompt_id: prompt.id, self._following: gr.Timer(active=drawing)}
        return self.pictures.stand_of(prompt, []) | self._cancelling(drawing) | following | words

    def follow(
        self, request: gr.Request, browser_key: str | None, prompt_id: int | None, drawn: Sequence[PictureFile]
    ) -> dict:
        """How far the prompt is that was brought back; until it has ended."""
        followed = {self._following: gr.Timer(active=False)}
        try:
            prompt = self._visitor.studio.get_prompt(self._visitor.owner(request, browser_key), prompt_id)
        except FaceIDError:  # deleted with its tune
            return self.pictures.emptied() | self._cancelling(False) | followed
        stand = self.pictures.stand_of(prompt, drawn)
        return stand if prompt.finished_at is None else stand | self._cancelling(False) | followed

    def _is_unfinished(self, owner: str, prompt_id: int | None) -> bool:
        try:
            return prompt_id is not None and self._visitor.studio.get_prompt(owner, prompt_id).finished_at is None
        except NotFound:  # deleted with its tune, or of whoever was logged in before
            return False

    def cancel(self, request: gr.Request, browser_key: str | None, prompt_id: int | None) -> dict:
        """Stop what this visitor draws; that it has stopped is said by what drew it, within a step."""
        try:
            if prompt_id:
                self._visitor.studio.cancel(self._visitor.owner(request, browser_key), prompt_id)
        except FaceIDError as error:
            return {self.pictures.progress: cards.failed(str(error))}
        return {self._cancel: gr.Button("Cancelling…", interactive=False)}

    def choose_card(
        self, event: gr.EventData, request: gr.Request, browser_key: str | None, text: str, strength: float
    ) -> tuple:
        """A card was clicked: its tag goes into the prompt."""
        try:
            tune_id = check_id("id", event_value(event, "id"))
            return *self.choose(request, browser_key, tune_id, text, strength), {}
        except FaceIDError as error:
            return *[gr.skip()] * 3, cards.failed(str(error))

    def choose(
        self, request: gr.Request, browser_key: str | None, tune_id: int | None, text: str, strength: float
    ) -> tuple:
        """The prompt about this tune, the tune's id, and the cards with it marked."""
        if tune_id is None:
            return (gr.skip(),) * 3
        owner = self._visitor.owner(request, browser_key)
        tune = self._visitor.studio.get_tune(owner, tune_id)
        return name_person(text or "", tune.id, tune.name, strength), tune.id, self._visitor.cards(owner, tune.id)

    def use_idea(
        self, request: gr.Request, browser_key: str | None, idea: Sequence[str], tune_id: int | None, strength: float
    ) -> tuple:
        """As `choose`, for an idea: with the chosen tune, the newest, or the example's; raises, so nothing is drawn."""
        owner = self._visitor.owner(request, browser_key)
        tune = self._visitor.tune_or_example(owner, tune_id)
        return *self.choose(request, browser_key, tune.id, f"{tune.name}, {idea[0]}", strength), {}

    def reuse(self, path: str | None) -> list:
        """The prompt and the settings that a picture's file says it was drawn with."""
        try:
            recipe = recipe_of(path)
        except FaceIDError as error:
            return [gr.skip()] * (1 + len(self._settings.reusable)) + [cards.failed(str(error))]
        said = cards.finished(DRAWN_FROM) if "denoising_strength" in recipe else {}
        return [recipe.get("text", gr.skip()), *self._settings.reused(recipe), said]

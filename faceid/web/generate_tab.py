"""The page's tab where a prompt becomes pictures: who, what, the settings, and a gallery that fills as they come."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from faceid.domain import PictureFile, PromptFields
from faceid.drawing import Generation
from faceid.errors import Cancelled, FaceIDError, InvalidRequest, NotFound
from faceid.limits import LIMITS
from faceid.prompt_syntax import name_person
from faceid.validation import check_id
from faceid.web import cards
from faceid.web.presenting import captioned, count_of, details_json, progress_of
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
BUSY = "Your last pictures are still being drawn. Wait for them, or press Cancel first."
NO_PROMPT = "The prompt is empty. Say what to draw, or click an idea."
DRAWN_FROM = "It was drawn from a picture, which its file does not hold: choose that under “Start from a picture”."


class GenerateTab:
    """The tab's components and what happens on them. The other tabs use `people`, `text`, `chosen` and `gallery`."""

    def __init__(self, visitor: Visitor):
        self._visitor = visitor
        self.chosen, self._prompt_id = gr.State(None), gr.State(None)
        self._drawn, self._picked_seed, self._picked_path = gr.State([]), gr.State(None), gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._build_wish()
            with gr.Column(scale=6, min_width=320):
                self._build_pictures()
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

    def _build_pictures(self) -> None:
        self._progress = cards.progress_line("progress")
        self.gallery = gr.Gallery(
            label="Pictures", columns=2, object_fit="contain", format="png", height="auto", elem_id="gallery"
        )
        with gr.Row(visible=False) as self._picked:
            self._reuse = gr.Button("Reuse its seed", elem_id="reuse-seed")
            self._reuse_all = gr.Button("Reuse its settings", elem_id="reuse-settings")
            self._download = gr.DownloadButton("Download", elem_id="download")
        self._opened = gr.UploadButton(
            "Reuse the settings of a PNG", file_types=[".png"], size="sm", variant="secondary", elem_id="reuse-file"
        )
        with gr.Accordion("Details", open=False):
            self._details = gr.JSON(show_label=False, elem_id="details")

    def _wire(self) -> None:
        key, strength = self._visitor.browser_key, self.strength
        drawing = {
            "fn": self.draw,
            "inputs": [key, self._prompt_id, self.text, self._num_images, *self._settings.inputs],
            "outputs": [
                self._progress,
                self.gallery,
                self._details,
                self._prompt_id,
                self._drawn,
                self._picked,
                self._generate,
                self._cancel,
            ],
            "concurrency_limit": None,
            **QUIET,
        }
        self.choice = [self.text, self.chosen, self.people]
        self.choice_or_error = [*self.choice, self._progress]
        gr.on([self._generate.click, self.text.submit], **drawing)
        gr.on([self._generate.click, self._ideas.click], None, js=SHOW_PICTURES, **QUIET)
        self._cancel.click(self.cancel, [key, self._prompt_id], [self._cancel, self._progress], **QUIET)
        self.people.select(self.choose_card, [key, self.text, strength], self.choice_or_error, **QUIET)
        strength.release(self.choose, [key, self.chosen, self.text, strength], self.choice, **QUIET)
        self.example_used = self._ideas.click(
            self.use_idea, [key, self._ideas, self.chosen, strength], self.choice_or_error, **QUIET
        )
        self.example_used.success(**drawing)
        self.gallery.select(
            self.pick,
            self._drawn,
            [self._picked, self._reuse, self._download, self._picked_seed, self._picked_path],
            **QUIET,
        )
        reused = [self.text, *self._settings.inputs, self._progress]
        steps = list(self.finishing.steps.values())
        for reusing, file in ((self._reuse_all.click, self._picked_path), (self._opened.upload, self._opened)):
            reusing(self.reuse, file, reused, **QUIET).then(self.finishing.switch, self.base_model, steps, **QUIET)
        self._reuse.click(lambda seed: seed, self._picked_seed, self._settings.seed, **QUIET)

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
            yield {self._progress: cards.failed(str(error))}
            return
        yield {
            self._progress: cards.running("Starting"),
            self.gallery: [],
            self._details: details_json(generation, [], "queued"),
            self._prompt_id: generation.prompt.id,
            self._drawn: [],
            self._picked: gr.Row(visible=False),
            self._generate: gr.Button(interactive=False),
            self._cancel: gr.Button("Cancel", visible=True, interactive=True),
        }
        yield from self._follow(generation)

    def _follow(self, generation: Generation) -> Iterator[dict]:
        pictures: list[PictureFile] = []
        drawn = generation.request.num_images
        choosing = generation.prompt.parameters["num_images"] < drawn
        try:
            for event in generation.events():
                update = {self._progress: cards.running(*progress_of(event, drawn, choosing=choosing))}
                if isinstance(event, PictureFile):
                    pictures = [*pictures, event]
                    update |= {self.gallery: captioned(pictures), self._drawn: pictures}
                yield update
            lines = [count_of(pictures), *(note.reason for note in generation.all_notes())]
            last, status = cards.finished("\n".join(lines)), "done"
        except Cancelled:
            last, status = cards.failed(f"Cancelled. {count_of(pictures)}"), "cancelled"
        except FaceIDError as error:
            last, status = cards.failed(str(error)), "failed"
        yield {
            self._progress: last,
            self._details: details_json(generation, pictures, status),
            self._generate: gr.Button(interactive=True),
            self._cancel: gr.Button(visible=False),
        }

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
            return {self._progress: cards.failed(str(error))}
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

    def pick(self, event: gr.EventData, drawn: Sequence[PictureFile]) -> tuple:
        """A picture was clicked: its seed and its file are at hand."""
        index = event_value(event, "index")
        if not isinstance(index, int) or not 0 <= index < len(drawn):
            raise gr.Error("This picture is not there any more. Draw it again.", print_exception=False)
        picture = drawn[index]
        return (
            gr.Row(visible=True),
            gr.Button(f"Reuse seed {picture.seed}"),
            gr.DownloadButton(value=picture.path),
            picture.seed,
            picture.path,
        )

    def reuse(self, path: str | None) -> list:
        """The prompt and the settings that a picture's file says it was drawn with."""
        try:
            recipe = recipe_of(path)
        except FaceIDError as error:
            return [gr.skip()] * (1 + len(self._settings.inputs)) + [cards.failed(str(error))]
        said = cards.finished(DRAWN_FROM) if "denoising_strength" in recipe else {}
        return [recipe.get("text", gr.skip()), *self._settings.reused(recipe), said]

"""The page's tab where photos become a tune: each photo is looked at as it arrives, then the tune is named and made."""

import time

import gradio as gr

from faceid.domain import TuneFields
from faceid.errors import FaceIDError
from faceid.limits import CLASS_NAMES, LIMITS
from faceid.web import cards
from faceid.web.presenting import in_page_words
from faceid.web.uploads import SessionUploads, read_uploads, remove_uploads
from faceid.web.visitor import Visitor

CONSENT = "This is me, or the person in these photos agreed to pictures being made of them."
DIFFERENT = "Take photos that seem to show different people"
TITLE, CLASS_WORD = "Name", "The word for this person in prompts"
LABELS = {"title": TITLE, "name": CLASS_WORD, "images": "Photos"}
PHOTO_TYPES = [".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif"]
ADVICE = "One good photo is enough, three to five are better: sharp, the face large and from the front."


class CreateTab:
    """The tab's components; `made` happens when a tune was made, `created` holds its id."""

    def __init__(self, visitor: Visitor):
        self._visitor = visitor
        self._uploads = SessionUploads()
        self.created = gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self._build_form()
            with gr.Column(scale=6, min_width=320):
                self._result = cards.progress_line("create-result")
                self._seen = cards.photo_cards("photos-seen")
        self._wire()

    def _build_form(self) -> None:
        self._files = gr.File(
            label=f"Photos of one person, 1 to {LIMITS['photos'].high:g}",
            file_count="multiple",
            file_types=PHOTO_TYPES,
            height=180,
            elem_id="photo-files",
        )
        gr.Markdown(ADVICE)
        self._title = gr.Textbox(label=TITLE, placeholder="John Doe", max_lines=1, elem_id="tune-title")
        self._name = gr.Dropdown(
            list(CLASS_NAMES),
            value="person",
            label=CLASS_WORD,
            allow_custom_value=True,
            elem_id="tune-name",
        )
        self._different = gr.Checkbox(label=DIFFERENT, elem_id="tune-different")
        self._consent = gr.Checkbox(label=CONSENT, elem_id="tune-consent")
        self._create = gr.Button("Create the tune", variant="primary", elem_id="create-tune")

    def _wire(self) -> None:
        busy = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": self._result}
        files = self._files
        gr.on([files.upload, files.delete, files.clear], self.look, files, [self._seen, self._result], **busy)
        self.made = self._create.click(
            self.create,
            [self._visitor.browser_key, files, self._title, self._name, self._different, self._consent],
            [self._result, self._seen, files, self._title, self._consent, self.created],
            **busy,
        )

    def forget(self, request: gr.Request) -> None:
        """The page was left: the photos that were chosen there and became no tune are deleted."""
        self._uploads.forget(request.session_hash)

    def look(self, request: gr.Request, paths: list[str] | None) -> tuple[list[dict], dict]:
        """Show each photo's face, or what is wrong with it; delete those that are not chosen any more."""
        self._uploads.choose(request.session_hash, paths or [])
        if not paths:
            return [], {}
        try:
            checks = self._visitor.studio.check_photos(read_uploads(paths))
        except FaceIDError as error:
            return [], cards.failed(str(error))
        usable = sum(check.problem is None for check in checks)
        line = f"{usable} of {len(checks)} photos can be used."
        return cards.photos_of(checks), cards.finished(line) if usable == len(checks) else cards.failed(line)

    def create(
        self,
        request: gr.Request,
        browser_key: str | None,
        paths: list[str] | None,
        title: str,
        name: str | None,
        different: bool,
        consent: bool,
    ) -> tuple:
        """Make the tune; on success the form is empty again and the uploads are gone."""
        started = time.perf_counter()
        if not consent:
            return cards.failed(f"Please tick: {CONSENT}"), *[gr.skip()] * 4, None
        fields = TuneFields(title or "", name or "", allow_different_people=different, consent_route="page")
        try:
            owner = self._visitor.owner(request, browser_key)
            made = self._visitor.studio.create_tune(owner, read_uploads(paths), fields)
        except FaceIDError as error:
            return cards.failed(explain(error)), *[gr.skip()] * 4, None
        remove_uploads(paths)
        seconds = time.perf_counter() - started
        ready = f"“{made.tune.title}” is ready after {seconds:.1f} s: draw with it under Generate."
        line = ready if made.created else "This tune was there already."
        warnings = "".join(f"\n{warning.photo}: {warning.message}" for warning in made.warnings)
        return cards.finished(line + warnings), [], None, "", False, made.tune.id


def explain(error: FaceIDError) -> str:
    """The error's text with what this tab calls fields and choices."""
    return in_page_words(error, LABELS).replace("set allow_different_people=true", f"tick “{DIFFERENT}”")

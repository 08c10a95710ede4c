"""The page: four tabs on one Blocks, and what one of them must tell the others. Knows the studio, not how it works."""

import hashlib
import hmac
import secrets

import gradio as gr

from faceid.domain import Tune
from faceid.errors import NotAdmitted
from faceid.studio import Studio
from faceid.web import cards
from faceid.web.create_tab import CreateTab
from faceid.web.edge import Page
from faceid.web.endpoints import Endpoints
from faceid.web.generate_tab import GenerateTab
from faceid.web.notices import Notices
from faceid.web.owners import LOCAL, Owners
from faceid.web.rest_context import origin_of
from faceid.web.snippets import curl_snippet, python_snippet
from faceid.web.tunes_tab import TunesTab
from faceid.web.uploads import KEPT_SECONDS
from faceid.web.visitor import CARDS_SHOWN, NO_TUNES, QUIET, Visitor

TITLE = "FaceID for Flux"
ONE_SENTENCE = "Photos of a face become a *tune*; a prompt that names it becomes pictures of that person."
CSS = (
    cards.CSS
    + """
#status p, #licences p { font-size: 13px; line-height: 1.4; color: var(--body-text-color-subdued) }
#finishing label:has(input:disabled) .label-text { color: var(--body-text-color-subdued) }
#finishing input:disabled { opacity: 0.5 }
#gallery .grid-wrap { max-height: none }
#gallery .thumbnail-lg { aspect-ratio: auto; height: auto; border: 0; box-shadow: none }
#gallery .thumbnail-lg img { aspect-ratio: 1; height: auto }
#gallery .caption-label { position: static; max-width: none; border: 0; box-shadow: none; background: none;
  white-space: normal; text-align: center; font-size: 13px; line-height: 1.3 }
.dark { --color-accent: var(--primary-400) }
.gradio-container { width: 100%; max-width: 1180px !important; margin: 0 auto }
@media (max-width: 480px) { .tab-container button { padding: 0 7px !important; font-size: 14px !important } }
"""
)
THEME = gr.themes.Soft(primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
THEME.set(  # where Soft's are hardly there, or below the 4.5:1 of WCAG 2.2, 1.4.3
    block_label_text_color="*primary_600",
    block_title_text_color="*primary_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_500",
    color_accent="*primary_600",
    checkbox_border_color="*neutral_500",
    body_text_color_subdued="*neutral_600",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
)
LOADING_SECONDS = 2.0  # how often the status line looks whether the models are there
CLEAN_CACHE = (600, KEPT_SECONDS)  # seconds: what components wrote goes as uploads do


def build_page(studio: Studio, owners: Owners, notices: Notices) -> gr.Blocks:
    """The whole app as Blocks, ready for `launch(theme=THEME, css=CSS)`."""
    with Page(title=TITLE, analytics_enabled=False, delete_cache=CLEAN_CACHE) as page:
        # 1. What every event needs
        browser_key = gr.BrowserState(None, storage_key="faceid-key", secret=_storage_secret(owners))
        visitor = Visitor(studio, owners, browser_key)
        gr.Markdown(f"# {TITLE}\n{ONE_SENTENCE}")
        status = gr.Markdown(notices.status(), elem_id="status")
        key = gr.Textbox(
            label="Your key", type="password", visible=bool(owners.admitted), max_lines=1, elem_id="key",
            info="This app is open to people who were given a key.",
        )  # fmt: skip
        if owners.login:
            gr.LoginButton(size="sm", elem_id="login")
        # 2. The tabs
        with gr.Tabs() as tabs:
            with gr.Tab("Generate", id="generate"):
                generate = GenerateTab(visitor)
            with gr.Tab("New person", id="create"):
                create = CreateTab(visitor)
            with gr.Tab("My tunes", id="tunes"):
                tunes = TunesTab(visitor)
            with gr.Tab("Call it", id="call"):
                gr.Markdown("`pip install gradio_client`, then:")
                python = gr.Code(language="python", show_label=False, interactive=False, elem_id="call-python")
                gr.Markdown("The same by curl:")
                curl = gr.Code(language="shell", show_label=False, interactive=False, elem_id="call-curl")
        licences = gr.Markdown(notices.licences(), elem_id="licences")
        loading = gr.Timer(LOADING_SECONDS)

        # 3. What happens between them
        def refresh(request: gr.Request, browser_key: str | None, chosen: int | None, shown: int) -> tuple:
            try:
                owner = visitor.owner(request, browser_key)
            except NotAdmitted as error:
                nobody = cards.no_cards(str(error))
                return nobody, nobody, gr.skip(), None, *_snippets(request, None, needs_key=True)
            mine = visitor.tunes(owner, shown)
            chosen = chosen if chosen in [tune.id for tune, _ in mine] else None
            people = cards.cards_of(mine[:CARDS_SHOWN], chosen=chosen, empty=NO_TUNES)
            more = gr.Button(visible=len(mine) == shown)
            snippets = _snippets(request, mine[0][0] if mine else None, needs_key=owner != LOCAL)
            return people, cards.cards_of(mine, empty=NO_TUNES), more, chosen, *snippets

        def open_page(request: gr.Request, kept: str | None, text: str) -> dict:
            key = kept or (None if owners.admitted else secrets.token_hex(32))
            return {browser_key: key} | generate.bring_back(request, key, text)

        refreshing = {
            "fn": refresh,
            "inputs": [browser_key, generate.chosen, tunes.shown],
            "outputs": [generate.people, tunes.tunes, tunes.more, generate.chosen, python, curl],
            **QUIET,
        }
        gr.on(
            [page.load, loading.tick],
            # the timer first: what it asks about must not come true after the texts were made
            lambda: (gr.Timer(active=not studio.is_ready), notices.status(), notices.licences()),
            outputs=[loading, status, licences],
            **QUIET,
        ).then(generate.finishing.switch, generate.base_model, list(generate.finishing.steps.values()), **QUIET)
        opened = [browser_key, *generate.brought_back]
        page.load(open_page, [browser_key, generate.text], opened, **QUIET).then(**refreshing)
        key.change(lambda typed: typed, key, browser_key, **QUIET).then(**refreshing)
        create.made.then(**refreshing).then(
            generate.choose, [browser_key, create.created, generate.text, generate.strength], generate.choice, **QUIET
        )
        tunes.deleted.then(**refreshing).then(generate.pictures.emptied, None, generate.pictures.outputs, **QUIET)
        tunes.grown.then(**refreshing)
        generate.example_used.then(**refreshing)
        page.unload(create.forget)
        tunes.tunes.select(
            generate.choose_card, [browser_key, generate.text, generate.strength], generate.choice_or_error, **QUIET
        ).then(lambda: gr.Tabs(selected="generate"), None, tabs, **QUIET)
        # 4. The same for programs
        Endpoints(studio, owners).register()
    return page


def _storage_secret(owners: Owners) -> str:
    """What the browser's storage is encrypted with: the same after a restart, and not the app's own secret."""
    return hmac.new(owners.secret, b"browser storage", hashlib.sha256).hexdigest()


def _snippets(request: gr.Request, tune: Tune | None, *, needs_key: bool) -> tuple[str, str]:
    """How to call this app by Python and by curl, about `tune`."""
    tune_id, name = (tune.id, tune.name) if tune else ("ID", "man")
    address = origin_of(request.request)
    return (
        python_snippet(address, tune_id, name, needs_key=needs_key),
        curl_snippet(address, tune_id, name, needs_key=needs_key),
    )

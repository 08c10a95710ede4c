"""The page's own HTML: cards of people and photos, the progress line. Values go through Handlebars, which escapes them.

Thumbnails are data URIs: no face is written to a cache that could outlive its tune.
"""

import base64
from collections.abc import Sequence
from typing import Any

import gradio as gr

from faceid.domain import Tune
from faceid.identities import PhotoCheck
from faceid.prompt_syntax import tag_of

_PEOPLE = """
{{#if value.cards.length}}<div class="people">
{{#each value.cards}}<button type="button" class="person {{#if this.chosen}}chosen{{/if}}" data-select="{{this.id}}"
  aria-pressed="{{#if this.chosen}}true{{else}}false{{/if}}" title="{{this.title}}">
  <img src="{{this.thumbnail}}" alt="" width="72" height="72"><span>{{this.title}}</span></button>{{/each}}
</div>{{else}}<p class="hint">{{value.empty}}</p>{{/if}}
"""

_TUNES = """
{{#if value.cards.length}}<div class="tunes">
{{#each value.cards}}<article class="tune" data-tune="{{this.id}}">
  <img src="{{this.thumbnail}}" alt="The face of {{this.title}}" width="112" height="112">
  <div><h3>{{this.title}}</h3>
    <p>{{this.name}}, {{this.photos}}</p><p><code>{{this.tag}}</code></p><p>Kept until {{this.expires}}</p>
    <p class="actions"><button type="button" data-select="{{this.id}}">Use</button>
      <button type="button" data-ask>Delete…</button></p>
    <p class="actions sure" hidden>Delete this tune, its photos and the pictures drawn from it?
      <button type="button" class="stop" data-delete="{{this.id}}">Delete</button>
      <button type="button" data-keep>Keep</button></p></div></article>{{/each}}
</div>{{else}}<p class="hint">{{value.empty}}</p>{{/if}}
"""

_PHOTOS = """
{{#if value.length}}<div class="photos">
{{#each value}}<figure class="photo {{#if this.problem}}bad{{/if}}">
  {{#if this.thumbnail}}<img src="{{this.thumbnail}}" alt="The face found in {{this.photo}}" width="96" height="96">
  {{else}}<div class="none" aria-hidden="true">✕</div>{{/if}}
  <figcaption><b>{{this.photo}}</b>{{#if this.problem}}<span>{{this.problem}}</span>{{/if}}
  {{#each this.warnings}}<span>{{this}}</span>{{/each}}</figcaption></figure>{{/each}}
</div>{{else}}<p class="hint">Each photo is looked at as soon as it is here.</p>{{/if}}
"""

_PROGRESS = """
{{#if value.line}}<div class="progress {{value.kind}}" role="{{#if value.alert}}alert{{else}}status{{/if}}">
  <span>{{value.line}}</span>
  {{#if value.running}}<progress max="100" value="{{value.percent}}"></progress>{{/if}}
</div>{{/if}}
"""

# One listener on the element, which stays while its cards are drawn anew.
_ON_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const card = button.closest('.tune');
  if (button.dataset.select) trigger('select', {id: button.dataset.select});
  else if (button.dataset.delete) trigger('delete', {id: button.dataset.delete});
  else if (card) {
    const sure = card.querySelector('.sure');
    sure.hidden = 'keep' in button.dataset;
    (sure.hidden ? card.querySelector('[data-ask]') : sure.querySelector('[data-keep]')).focus();
  }
});
"""

CSS = """
.people { display: flex; flex-wrap: wrap; gap: 8px }
.person { display: flex; flex-direction: column; width: 88px; margin: 0; padding: 6px; text-align: center;
  cursor: pointer; border: 2px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: var(--block-background-fill); color: var(--body-text-color) }
.person img { border-radius: var(--radius-md); margin: 0 auto }
.person span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  font-size: 12px; line-height: 1.25; overflow-wrap: anywhere }
.person.chosen, .person:hover { border-color: var(--color-accent) }
.tunes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 12px }
.tune { display: flex; gap: 12px; padding: 12px; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); background: var(--block-background-fill); min-width: 0 }
.tune img { width: 112px; height: 112px; border-radius: var(--radius-md); flex: none }
.tune > div { min-width: 0 } .tune h3 { margin: 0; overflow-wrap: anywhere }
.tune p { margin: 2px 0; font-size: 13px } .tune code { overflow-wrap: anywhere }
.tune .actions { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 6px } .tune .actions[hidden] { display: none }
.tune button { margin: 0; padding: 4px 12px; font-size: 14px; font-weight: 500; border-radius: var(--radius-md);
  border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); cursor: pointer }
.tune button.stop { background: #b91c1c; border-color: #b91c1c; color: #fff }
.photos { display: flex; flex-wrap: wrap; gap: 12px }
.photo { display: flex; gap: 10px; align-items: flex-start; margin: 0; flex: 1 1 240px; min-width: 0 }
.photo img, .photo .none { width: 96px; height: 96px; border-radius: var(--radius-md); flex: none; margin: 0 }
.photo .none { display: grid; place-items: center; border: 2px dashed #dc2626; color: #dc2626; font-size: 28px }
.photo figcaption { font-size: 13px; min-width: 0; overflow-wrap: anywhere }
.photo figcaption span { display: block }
.progress { padding: 10px 12px; border-radius: var(--radius-md); border-left: 4px solid var(--color-accent);
  background: var(--background-fill-secondary); color: var(--body-text-color) }
.progress span { white-space: pre-line }
.progress.error { border-color: #dc2626 } .progress.done { border-color: #16a34a }
.progress progress { display: block; width: 100%; height: 8px; margin-top: 6px; border: 0; border-radius: 4px;
  overflow: hidden; appearance: none; background: var(--border-color-primary) }
.progress ::-webkit-progress-bar { background: var(--border-color-primary) }
.progress ::-webkit-progress-value { background: var(--color-accent) }
.progress ::-moz-progress-bar { background: var(--color-accent) }
.hint { color: var(--body-text-color-subdued) }
"""


def people_cards(elem_id: str) -> gr.HTML:
    """A strip of faces to choose from; `.select` carries the tune's id as text."""
    return gr.HTML(no_cards(), html_template=_PEOPLE, js_on_load=_ON_CLICK, elem_id=elem_id)


def tune_cards(elem_id: str) -> gr.HTML:
    """The owner's tunes with what can be done to them; `.select` and `.delete` carry the tune's id as text."""
    return gr.HTML(no_cards(), html_template=_TUNES, js_on_load=_ON_CLICK, elem_id=elem_id)


def photo_cards(elem_id: str) -> gr.HTML:
    """What was seen in each photo that is about to become a tune."""
    return gr.HTML([], html_template=_PHOTOS, js_on_load=None, elem_id=elem_id)


def progress_line(elem_id: str) -> gr.HTML:
    """One line for what goes on, what is done, or what went wrong."""
    return gr.HTML({}, html_template=_PROGRESS, js_on_load=None, elem_id=elem_id)


def running(line: str, done: float = 0.0) -> dict[str, Any]:
    """The progress line while work goes on; `done` from 0 to 1."""
    return {"line": line, "running": True, "percent": round(100 * done)}


def finished(line: str) -> dict[str, Any]:
    """The progress line of work that ended well."""
    return {"line": line, "kind": "done"}


def failed(line: str) -> dict[str, Any]:
    """The progress line of work that could not be done; screen readers say it at once."""
    return {"line": line, "kind": "error", "alert": True}


def no_cards(empty: str = "") -> dict[str, Any]:
    """No card; `empty` is said in their place."""
    return {"cards": [], "empty": empty}


def cards_of(tunes: Sequence[tuple[Tune, bytes]], *, chosen: int | None = None, empty: str = "") -> dict[str, Any]:
    """Cards for tunes with their thumbnails; ids are text, since JavaScript's numbers are not ours to trust."""
    cards = [
        {
            "id": str(tune.id),
            "title": tune.title,
            "name": tune.name,
            "photos": "1 photo" if tune.num_photos == 1 else f"{tune.num_photos} photos",
            "tag": tag_of(tune.id),
            "expires": f"{tune.expires_at.day} {tune.expires_at:%B %Y}",
            "thumbnail": _data_uri(thumbnail),
            "chosen": tune.id == chosen,
        }
        for tune, thumbnail in tunes
    ]
    return {"cards": cards, "empty": empty}


def photos_of(checks: Sequence[PhotoCheck]) -> list[dict[str, Any]]:
    """Cards for photos that were looked at."""
    return [
        {
            "photo": check.photo,
            "problem": check.problem,
            "warnings": list(check.warnings),
            "thumbnail": _data_uri(check.thumbnail) if check.thumbnail else None,
        }
        for check in checks
    ]


def _data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"

"""How the studio's values look outside: the product's JSON, captions, progress. Knows no component and no route."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypedDict

from faceid.base_models import BaseModel
from faceid.domain import Note, PictureFile, Prompt, StepDone, Tune
from faceid.errors import FaceIDError
from faceid.finishes import FINISHES, ORDER, FinishStep
from faceid.prompt_syntax import tag_of
from faceid.studio import CreatedTune

# What stands in a caption for a band; never a percentage.
LIKENESS = {
    "weak": "weak likeness",
    "fair": "fair likeness",
    "strong": "strong likeness",
    "copy": "nearly a copy of a photo",
    "not measurable": "likeness not measurable",
}
TITLES = {finish.name: finish.title for finish in FINISHES}
# A pack that is not known by a name: its models are of two Python packages.
READERS = {"offline": "two small models that were installed with this app"}


class TuneJSON(TypedDict):
    """A tune as the product answers it, and `warnings`: what to know of single photos."""

    id: int
    title: str
    name: str
    is_api: bool
    token: str
    base_tune_id: int | None
    branch: str
    model_type: str
    characteristics: dict[str, str]
    num_photos: int
    created_at: str
    updated_at: str
    trained_at: str
    expires_at: str
    tag: str
    existing: bool
    warnings: list[str]


class BaseModelJSON(TypedDict):
    """A base model: what it is called, whether it is loaded here, its defaults and its licence."""

    id: int
    name: str
    title: str
    loaded: bool
    default: bool
    steps: int
    cfg_scale: float
    licence: str
    note: str
    finishing: dict[str, str | None]


def iso(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds and Z, as the product prints times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tune_json(tune: Tune, created: CreatedTune | None = None) -> TuneJSON:
    """The tune as JSON; `created` adds whether it existed before and the warnings of its photos."""
    return TuneJSON(
        id=tune.id,
        title=tune.title,
        name=tune.name,
        is_api=tune.is_api,
        token=tune.token,
        base_tune_id=tune.base_tune_id,
        branch=tune.branch,
        model_type=tune.model_type,
        characteristics=dict(tune.characteristics),
        num_photos=tune.num_photos,
        created_at=iso(tune.created_at),
        updated_at=iso(tune.updated_at),
        trained_at=iso(tune.created_at),
        expires_at=iso(tune.expires_at),
        tag=tag_of(tune.id),
        existing=bool(created and not created.created),
        warnings=[f"{warning.photo}: {warning.message}" for warning in created.warnings] if created else [],
    )


def base_model_json(
    model: BaseModel, *, loaded: bool, default: bool, reasons: Mapping[str, str] = MappingProxyType({})
) -> BaseModelJSON:
    """A base model as JSON; `finishing` gives of each step null where it can be done, else `reasons`' why not."""
    return BaseModelJSON(
        id=model.tune_id,
        name=model.slug,
        title=model.title,
        loaded=loaded,
        default=default,
        steps=model.default_steps,
        cfg_scale=model.default_guidance,
        licence=model.licence,
        note=model.note,
        finishing={name: reasons.get(name) for name in ORDER},
    )


def details_json(prompt: Prompt) -> dict[str, Any]:
    """A prompt as JSON, while it is drawn and after: what was decided, the seeds, what differs from the wish."""
    return {
        "id": prompt.id,
        "text": prompt.text,
        "base_model": prompt.base_model,
        "status": prompt.status,
        **prompt.parameters,
        "seeds": [picture.seed for picture in prompt.pictures],
        "likeness": [picture.likeness for picture in prompt.pictures],
        "notes": [note.reason for note in prompt.notes],
    }


def caption(picture: PictureFile) -> str:
    """What stands under a picture."""
    return f"seed {picture.seed} · {LIKENESS[picture.likeness]}" if picture.likeness else f"seed {picture.seed}"


def captioned(pictures: Sequence[PictureFile]) -> list[tuple[str, str]]:
    """Path and caption of each, as a gallery takes them."""
    return [(picture.path, caption(picture)) for picture in pictures]


def count_of(pictures: Sequence[PictureFile]) -> str:
    """How many are done, as a sentence."""
    return "1 picture is done." if len(pictures) == 1 else f"{len(pictures)} pictures are done."


def note_lines(notes: Sequence[Note]) -> list[str]:
    """What was done otherwise than asked, finishing steps by their titles."""
    return [_named(note.reason, note.field, TITLES) for note in notes]


def in_page_words(error: FaceIDError, labels: Mapping[str, str]) -> str:
    """An error's text; a field that it begins with by its name on the page, where `labels` has one."""
    return _named(str(error), getattr(error, "field", ""), labels)


def _named(text: str, field: str, labels: Mapping[str, str]) -> str:
    named = field in labels and text.startswith((f"{field}:", f"{field} "))
    return labels[field] + text.removeprefix(field) if named else text


def progress_of(event: Any, num_images: int, *, choosing: bool = False) -> tuple[str, float]:
    """One line for what goes on, and how much of it is done (0 to 1). `num_images` are drawn.

    `choosing`: pictures come when all are drawn, the most alike first.
    """
    if isinstance(event, PictureFile) and choosing:
        return f"All {num_images} pictures are drawn, the most alike are kept", 1.0
    if isinstance(event, StepDone):
        done = (event.index + event.step / event.steps) / num_images
        return f"Picture {event.index + 1} of {num_images}: step {event.step} of {event.steps}", done
    if isinstance(event, FinishStep):
        name = TITLES[event.name].lower()
        line = f"Picture {event.index + 1} of {num_images}: {name}, {event.done} of {event.of}"
        return line, (event.index + 1) / num_images
    if isinstance(event, PictureFile):
        return f"Picture {event.index + 1} of {num_images} is done", (event.index + 1) / num_images
    return f"Waiting: number {event.position} in the queue, about {event.seconds:.0f} s", 0.0


def status_text(models: Sequence[BaseModel], *, pack: str, pack_note: str, judge: str | None = None) -> str:
    """Markdown for the page's status line: what draws here, reads faces and judges likeness, and why it is these."""
    notes = [model.note for model in models if model.note]
    judged = "the same" if judge == pack else _reader(judge) if judge else "nobody"
    readers = f"Faces are read by {_reader(pack)}, likeness is judged by {judged}."
    return " ".join([f"Drawing with {_where(models)}.", *notes, readers, pack_note]).strip()


def loading_text(models: Sequence[BaseModel]) -> str:
    """Markdown for the status line until the models are there."""
    return f"Loading {_where(models)}. You can look around; pictures can be drawn in a moment."


def licences_text(models: Sequence[BaseModel], *, pack_licence: str = "", judge_licence: str = "") -> str:
    """Markdown for the page's foot: the licences of the models in use, and what becomes of photos.

    Without `pack_licence`: it is not known yet.
    """
    licences = [f"{model.title}: {model.licence}" for model in models]
    licences += ["PuLID-FLUX: Apache-2.0", "EVA02-CLIP: MIT"] if any(model.repo for model in models) else []
    licences += [pack_licence] if pack_licence else []
    licences += [f"judge: {judge_licence}"] if judge_licence not in ("", pack_licence) else []
    return (
        f"Licences: {'; '.join(licences)}.\n\n"
        "Use photos of people who agreed. Tunes are deleted after 30 days, or when you delete them."
    )


def _reader(pack: str) -> str:
    return READERS.get(pack, f"*{pack}*")


def _where(models: Sequence[BaseModel]) -> str:
    """The models and where each draws; one that needs no GPU uses none."""
    return " and ".join(f"**{model.title}** on the {'GPU' if model.needs_cuda else 'CPU'}" for model in models)

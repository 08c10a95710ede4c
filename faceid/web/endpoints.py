"""The Gradio endpoints for gradio_client and curl, in the product's names. Each is one use case of the studio.

`gr.api` reads names, types, defaults and docstrings of these functions: they are the API's documentation. An
annotation of a generator says what each of its yields is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import gradio as gr

from faceid.domain import PictureFile, PromptFields, TuneFields
from faceid.errors import FaceIDError
from faceid.studio import Studio
from faceid.web.owners import Owners
from faceid.web.presenting import (
    BaseModelJSON,
    TuneJSON,
    base_model_json,
    caption,
    details_json,
    tune_json,
)
from faceid.web.uploads import read_uploads, remove_uploads


class PictureJSON(TypedDict):
    """A picture as gradio_client downloads it, with its caption."""

    image: gr.FileData
    caption: str


@contextmanager
def readable_errors() -> Iterator[None]:
    """Let the texts of our own errors reach a Gradio caller."""
    try:
        yield
    except FaceIDError as error:
        raise gr.Error(str(error), print_exception=False) from error


class Endpoints:
    """The public functions; `register` puts them on the Blocks that is being built."""

    def __init__(self, studio: Studio, owners: Owners):
        self._studio, self._owners = studio, owners

    def register(self) -> None:
        """Add every endpoint under its function's name."""
        for function in (
            self.create_tune,
            self.list_tunes,
            self.get_tune,
            self.delete_tune,
            self.generate,
            self.base_models,
        ):
            gr.api(function, concurrency_limit=None if function == self.generate else 4)

    def create_tune(
        self,
        photos: list[gr.FileData],
        title: str | None = None,
        name: str = "person",
        token: str = "ohwx",
        characteristics: dict[str, str] | None = None,
        base_tune_id: int | None = None,
        callback: str | None = None,
        allow_different_people: bool = False,
        consent: bool = True,
        owner_key: str | None = None,
        request: gr.Request = None,
    ) -> TuneJSON:
        """Make a tune from photos of one person. By calling you assert that this person agreed.

        Args:
            photos: 1 to 20 photos, JPEG, PNG, WebP, HEIC or AVIF, at most 20 MB each.
            title: what you call the tune; without it, the first photo's name.
            name: the class word: man, woman, boy, girl, person.
            token: kept and given back; a faceid tune does not need it.
            characteristics: values for {{key}} in prompts.
            base_tune_id: kept and given back; any loaded base model draws the tune.
            callback: kept and given back; the tune is ready when this returns.
            allow_different_people: take photos that do not seem to show the same person.
            consent: false is refused.
            owner_key: your key, where it is not in a header.
        """
        with readable_errors():
            owner = self._owners.of_call(request.headers, owner_key)
            uploads = read_uploads(photos)
            fields = TuneFields(
                title=title if title is not None else (Path(uploads[0].name).stem if uploads else ""),
                name=name,
                token=token,
                base_tune_id=base_tune_id,
                callback=callback,
                is_api=True,
                characteristics=characteristics or {},
                allow_different_people=allow_different_people,
                consent=consent,
                consent_route="gradio_client",
            )
            try:
                created = self._studio.create_tune(owner, uploads, fields)
            finally:
                remove_uploads(photos)
            return tune_json(created.tune, created)

    def list_tunes(
        self,
        limit: int = 20,
        before_id: int | None = None,
        title: str | None = None,
        owner_key: str | None = None,
        request: gr.Request = None,
    ) -> list[TuneJSON]:
        """Your tunes, newest first.

        Args:
            limit: how many at most, up to 120.
            before_id: only tunes older than this one: the last id of the page before.
            title: only tunes whose title has this in it.
            owner_key: your key, where it is not in a header.
        """
        with readable_errors():
            owner = self._owners.of_call(request.headers, owner_key)
            limit = max(1, min(limit, 120))
            return [tune_json(t) for t in self._studio.list_tunes(owner, limit=limit, before_id=before_id, title=title)]

    def get_tune(self, tune_id: int, owner_key: str | None = None, request: gr.Request = None) -> TuneJSON:
        """One of your tunes.

        Args:
            tune_id: the tune's id.
            owner_key: your key, where it is not in a header.
        """
        with readable_errors():
            return tune_json(self._studio.get_tune(self._owners.of_call(request.headers, owner_key), tune_id))

    def delete_tune(self, tune_id: int, owner_key: str | None = None, request: gr.Request = None) -> dict[str, int]:
        """Delete a tune, its photos, and the pictures drawn from it.

        Args:
            tune_id: the tune's id.
            owner_key: your key, where it is not in a header.
        """
        with readable_errors():
            self._studio.delete_tune(self._owners.of_call(request.headers, owner_key), tune_id)
            return {"deleted": tune_id}

    def generate(
        self,
        text: str,
        num_images: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
        cfg_scale: float | None = None,
        w: int | None = None,
        h: int | None = None,
        negative_prompt: str = "",
        base_model: str | None = None,
        aspect_ratio: str | None = None,
        true_cfg_scale: float | None = None,
        identity_start: float | None = None,
        best_of: int | None = None,
        preset: str | None = None,
        true_cfg_start: float | None = None,
        faster: bool = False,
        owner_key: str | None = None,
        request: gr.Request = None,
    ) -> tuple[list[PictureJSON], dict[str, Any]]:
        """Draw pictures; yields the gallery and the details each time a picture is done.

        Args:
            text: the prompt, with <faceid:ID:strength> where a person is meant.
            num_images: 1 to 8, default 4.
            seed: 0 to 4294967295; picture i is drawn from seed + i. Default: random.
            steps: 1 to 50; the base model has a default.
            cfg_scale: 0 to 15, Flux's distilled guidance; the base model has a default.
            w: width in px.
            h: height in px.
            negative_prompt: what to steer away from; costs a second pass a step.
            base_model: a name or id from /base_models; default: this machine's.
            aspect_ratio: such as 16:9, in the place of w and h.
            true_cfg_scale: 1 to 10, how strongly to steer away from the negative prompt.
            identity_start: 0 to 1, the share of the steps after which the identity is added.
            best_of: up to 16 pictures to draw, of which the num_images most like the photos are kept.
            preset: photo or art: identity_start and cfg_scale for it, where they are not given.
            true_cfg_start: 0 to 1, the share of the steps after which the negative prompt counts; default: one step.
            faster: skip what changes little from step to step, once the identity is in; the picture differs a little.
            owner_key: your key, where it is not in a header.
        """
        with readable_errors():
            owner = self._owners.of_call(request.headers, owner_key)
            fields = PromptFields(
                text=text,
                negative_prompt=negative_prompt,
                num_images=num_images,
                best_of=best_of,
                seed=seed,
                steps=steps,
                cfg_scale=cfg_scale,
                true_cfg_scale=true_cfg_scale,
                w=w,
                h=h,
                aspect_ratio=aspect_ratio,
                identity_start=identity_start,
                preset=preset,
                true_cfg_start=true_cfg_start,
                faster=faster,
                base_model=base_model,
            )
            generation = self._studio.generate(owner, fields)
            pictures: list[PictureFile] = []
            for event in generation.events():
                if isinstance(event, PictureFile):
                    pictures.append(event)
                    yield gallery_json(pictures), details_json(generation, pictures, "processing")
            yield gallery_json(pictures), details_json(generation, pictures, "done")

    def base_models(self) -> list[BaseModelJSON]:
        """The base models this app knows, which of them are loaded, and their defaults."""
        return [
            base_model_json(model, loaded=loaded, default=model == self._studio.loaded_models[0])
            for model, loaded in self._studio.base_models()
        ]


def gallery_json(pictures: Sequence[PictureFile]) -> list[PictureJSON]:
    """The pictures so far, as gradio_client downloads them."""
    return [
        {"image": gr.FileData(path=p.path, orig_name=f"seed-{p.seed}.png"), "caption": caption(p)} for p in pictures
    ]

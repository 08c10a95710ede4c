"""The Gradio endpoints that draw: their names, types, defaults and docstrings are the API's documentation."""

from collections.abc import Sequence
from typing import Any, TypedDict

import gradio as gr

from faceid.domain import PictureFile, PromptFields
from faceid.studio import Studio
from faceid.web.finishing_panel import read_picture
from faceid.web.owners import Owners
from faceid.web.presenting import BaseModelJSON, base_model_json, caption, details_json
from faceid.web.uploads import remove_uploads


class PictureJSON(TypedDict):
    """A picture as gradio_client downloads it, with its caption."""

    image: gr.FileData
    caption: str


class PictureEndpoints:
    """`generate` and `base_models`."""

    _studio: Studio
    _owners: Owners

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
        style: str | None = None,
        face_swap: bool = False,
        face_correct: bool = False,
        super_resolution: bool = False,
        hires_fix: bool = False,
        inpaint_faces: bool = False,
        color_grading: str | None = None,
        film_grain: bool = False,
        input_image: gr.FileData | None = None,
        mask_image: gr.FileData | None = None,
        denoising_strength: float | None = None,
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
            style: such as Cinematic or Line art: words for the prompt, and when the identity begins.
            face_swap: paste the person's face over the drawn one. What cannot be done here is said in the notes.
            face_correct: restore every face.
            super_resolution: four times as wide and as high.
            hires_fix: draw fine detail into the picture, tile by tile.
            inpaint_faces: draw each small face again at full resolution, as this person.
            color_grading: Film Velvia, Film Portra or Ektar.
            film_grain: the grain of a fast film.
            input_image: a picture to draw from, JPEG, PNG, WebP, HEIC or AVIF.
            mask_image: white where input_image is drawn again.
            denoising_strength: 0 to 1, how much of input_image is drawn again, default 0.8.
            owner_key: your key, where it is not in a header.
        """
        try:
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
                style=style,
                face_swap=face_swap,
                face_correct=face_correct,
                super_resolution=super_resolution,
                hires_fix=hires_fix,
                inpaint_faces=inpaint_faces,
                color_grading=color_grading,
                film_grain=film_grain,
                input_image=read_picture("input_image", input_image),
                mask_image=read_picture("mask_image", mask_image),
                denoising_strength=denoising_strength,
            )
        finally:
            remove_uploads([file for file in (input_image, mask_image) if file])  # refused ones too
        generation = self._studio.generate(owner, fields)
        pictures: list[PictureFile] = []
        for event in generation.events():
            if isinstance(event, PictureFile):
                pictures.append(event)
                yield gallery_json(pictures), details_json(generation.as_of(pictures, "processing"))
        yield gallery_json(pictures), details_json(generation.as_of(pictures, "done"))

    def base_models(self) -> list[BaseModelJSON]:
        """The base models this app knows, which of them are loaded, their defaults, and what finishing they get here:
        null where a step can be done, else why it cannot."""
        return [
            base_model_json(
                model,
                loaded=loaded,
                default=model == self._studio.loaded_models[0],
                reasons=self._studio.why_not(model.slug),
            )
            for model, loaded in self._studio.base_models()
        ]


def gallery_json(pictures: Sequence[PictureFile]) -> list[PictureJSON]:
    """The pictures so far, as gradio_client downloads them."""
    return [
        {"image": gr.FileData(path=p.path, orig_name=f"seed-{p.seed}.png"), "caption": caption(p)} for p in pictures
    ]

"""The Gradio endpoints for gradio_client and curl, in the product's names. Each is one use case of the studio.

`gr.api` reads names, types, defaults and docstrings of these functions: they are the API's documentation. An
annotation of a generator says what each of its yields is. Our own errors are raised as they are: the page's `Blocks`
says their texts.
"""

from pathlib import Path

import gradio as gr

from faceid.domain import TuneFields
from faceid.studio import Studio
from faceid.validation import check_id, check_page_size, check_title
from faceid.web.owners import Owners
from faceid.web.picture_endpoints import PictureEndpoints
from faceid.web.presenting import TuneJSON, tune_json
from faceid.web.uploads import read_uploads, remove_uploads


class Endpoints(PictureEndpoints):
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
        try:
            owner = self._owners.of_call(request.headers, owner_key)
            uploads = read_uploads(photos)
            fields = TuneFields(
                title=title if title is not None else Path(uploads[0].name).stem,
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
            created = self._studio.create_tune(owner, uploads, fields)
        finally:
            remove_uploads(photos)  # refused ones too
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
        owner = self._owners.of_call(request.headers, owner_key)
        wanted = {
            "limit": check_page_size(limit),
            "before_id": None if before_id is None else check_id("before_id", before_id),
            "title": None if title is None else check_title(title),
        }
        return [tune_json(tune) for tune in self._studio.list_tunes(owner, **wanted)]

    def get_tune(self, tune_id: int, owner_key: str | None = None, request: gr.Request = None) -> TuneJSON:
        """One of your tunes.

        Args:
            tune_id: the tune's id.
            owner_key: your key, where it is not in a header.
        """
        owner = self._owners.of_call(request.headers, owner_key)
        return tune_json(self._studio.get_tune(owner, check_id("tune_id", tune_id)))

    def delete_tune(self, tune_id: int, owner_key: str | None = None, request: gr.Request = None) -> dict[str, int]:
        """Delete a tune, its photos, and the pictures drawn from it.

        Args:
            tune_id: the tune's id.
            owner_key: your key, where it is not in a header.
        """
        owner = self._owners.of_call(request.headers, owner_key)
        tune_id = check_id("tune_id", tune_id)
        self._studio.delete_tune(owner, tune_id)
        return {"deleted": tune_id}

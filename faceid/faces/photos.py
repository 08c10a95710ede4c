"""Reads an uploaded photo into upright RGB pixels. Knows whose error names which photo; nothing of faces."""

import numpy as np

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, PhotoProblem
from faceid.image_files import BadImageFile, flatten, read_image_file


def read_photo(upload: Upload) -> np.ndarray:
    """The photo as people see it: (H, W, 3) uint8 RGB, EXIF orientation applied, at most 4096 px long.

    Formats and limits are those of `image_files`; transparency becomes white. InvalidPhotos names the photo where it
    cannot be used.
    """
    try:
        image = read_image_file(upload.content)
    except BadImageFile as error:
        raise refuse(upload, str(error)) from error
    return np.array(flatten(image))


def refuse(upload: Upload, message: str) -> InvalidPhotos:
    """The error that names `upload` and says `message`."""
    return InvalidPhotos([PhotoProblem(upload.name, message)])

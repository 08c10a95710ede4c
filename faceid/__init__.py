"""FaceID for Flux: photos of a face become a tune, a prompt that names it becomes pictures of that person."""

__version__ = "0.1.0"

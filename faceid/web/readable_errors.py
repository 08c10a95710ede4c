"""What a Gradio caller is told of our errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from faceid.errors import FaceIDError


@contextmanager
def readable_errors() -> Iterator[None]:
    """Let the texts of our own errors reach a Gradio caller."""
    try:
        yield
    except FaceIDError as error:
        raise gr.Error(str(error), print_exception=False) from error

"""Gradio, imported in half the time: to be imported before anything else imports it.

Whenever it is imported, Gradio writes a .pyi stub for editors beside each of its components, and parses the component
and the stub to do so. It leaves out what has no file.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_stubs() -> Iterator[None]:
    """Inside, no class of Gradio's has a file."""
    find_file = inspect.getfile

    def find_no_file_of_gradio(thing: Any) -> str:
        if (getattr(thing, "__module__", None) or "").startswith("gradio."):  # None: a bound built-in's
            raise OSError(f"{thing} needs no stub")
        return find_file(thing)

    inspect.getfile = find_no_file_of_gradio
    try:
        yield
    finally:
        inspect.getfile = find_file


with without_stubs():
    import gradio  # noqa: F401

"""faceid.web.edge: what the page's Blocks do otherwise than Gradio's. How errors are told is in test_endpoints."""

import gradio as gr

from faceid.web.edge import LOOK_SECONDS, Page


def test_a_page_that_nobody_uses_looks_less_often_for_events():
    with gr.Blocks() as stock, Page() as page:
        pass
    assert stock._queue.sleep_when_free < page._queue.sleep_when_free == LOOK_SECONDS
    assert page.queue(default_concurrency_limit=4)._queue.sleep_when_free == LOOK_SECONDS

"""PuLID in a compiled Flux, at toy width: how many graphs, and that they draw what eager code draws."""

import pytest
import torch
from pulid_toys import (
    STEPS,
    GraphCounter,
    attach,
    build_pipeline,
    build_short_transformer,
    close,
    draw_person,
    one_thread,
    person,
    predict,
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def short():
    torch.compiler.reset()
    yield attach(build_short_transformer())
    torch.compiler.reset()


def test_compiled_whole_one_graph_serves_every_identity_and_weight(short):
    transformer, counter = short.transformer, GraphCounter()
    plain = predict(transformer)
    network = torch.compile(transformer, backend=counter, fullgraph=True)
    drawn_by = {}
    for name, weight in (("a", 1.0), ("b", 0.3), ("a", 2.5)):
        with short.identity(person(name), weight=weight):
            drawn_by[name, weight] = predict(network)
    assert counter.graphs == 1
    for (name, weight), compiled in drawn_by.items():
        with short.identity(person(name), weight=weight):
            assert close(predict(transformer), compiled)
    assert close(predict(network), plain)
    assert counter.graphs == 2  # the plain picture is the network without cross-attentions


def test_compiled_pipeline_with_start_steps_compiles_for_the_first_visitor_only(short):
    eager = {name: draw_person(short, build_pipeline(short.transformer), name) for name in "ab"}
    counter = GraphCounter()
    pipeline = build_pipeline(torch.compile(short.transformer, backend=counter, fullgraph=True))
    assert close(draw_person(short, pipeline, "a"), eager["a"])
    graphs = counter.graphs
    assert close(draw_person(short, pipeline, "b"), eager["b"])
    assert counter.graphs == graphs


def test_compiled_by_blocks(short):
    with short.identity(person("a")):
        eager = predict(short.transformer)
        short.transformer.compile_repeated_blocks(backend="eager", fullgraph=True)
        assert close(predict(short.transformer), eager)


def test_attaching_to_a_compiled_transformer_and_detaching(short):
    eager = draw_person(short, build_pipeline(short.transformer), "a")
    inner, counter = build_short_transformer(), GraphCounter()
    network = torch.compile(inner, backend=counter, fullgraph=True)
    adapter = attach(network)
    assert close(draw_person(adapter, build_pipeline(network), "a"), eager)
    assert counter.runs == 2 * STEPS - 1
    adapter.detach()
    assert "forward" not in vars(inner)
    assert vars(network).keys() == vars(torch.compile(inner, backend="eager", fullgraph=True)).keys()

"""The life of an identity and of the adapter at toy width: what must stay, what must not, what is refused."""

import threading

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.hooks import ModelHook
from pulid_toys import STEPS, attach, build_pipeline, build_transformer, draw, one_thread, person, predict

from faceid.pulid.adapter import PuLIDAdapter


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def transformer():
    return build_transformer()


@pytest.fixture
def adapter(transformer):
    return attach(transformer)


@pytest.fixture
def pipeline(adapter):
    return build_pipeline(adapter.transformer)


class Interrupted(Exception):
    pass


def interrupt_at(wanted):
    def on_step(pipe, step, timestep, state):
        if step == wanted:
            raise Interrupted
        return {}

    return on_step


# --- nothing stays ---


@pytest.mark.parametrize("step", range(STEPS))
def test_after_an_exception_the_next_plain_picture_is_bit_equal(adapter, pipeline, step):
    plain = draw(pipeline, true_cfg=3)
    with pytest.raises(Interrupted), adapter.identity(person("a"), person("nobody"), start_cfg=2):
        draw(pipeline, true_cfg=3, on_step=interrupt_at(step))
    assert torch.equal(draw(pipeline, true_cfg=3), plain)


def test_after_wrong_tokens_the_adapter_can_be_used(adapter, pipeline):
    plain = draw(pipeline)
    with pytest.raises(RuntimeError), adapter.identity(person("a", batch=2)):
        draw(pipeline, batch=3)
    assert torch.equal(draw(pipeline), plain)
    with adapter.identity(person("a")):
        assert not torch.equal(draw(pipeline), plain)


def test_detach_gives_the_stock_transformer_back():
    transformer = build_transformer()
    before = build_transformer()
    attributes = {name: set(vars(module)) for name, module in transformer.named_modules()}
    adapter = attach(transformer)
    with adapter.identity(person("a"), person("nobody"), start_cfg=1):
        draw(build_pipeline(transformer), true_cfg=3)
    adapter.detach()
    assert transformer.state_dict().keys() == before.state_dict().keys()
    assert {name: set(vars(module)) for name, module in transformer.named_modules()} == attributes
    for module in transformer.modules():
        assert module.forward.__func__ is type(module).forward
    assert torch.equal(draw(build_pipeline(transformer)), draw(build_pipeline(before)))
    adapter.detach()  # a second time does nothing
    with pytest.raises(RuntimeError, match="detached"), adapter.identity(person("a")):
        pass


def test_diffusers_list_of_hooks_is_renewed_by_attach_and_detach(transformer):
    def listed():
        with transformer.cache_context("cond"):  # diffusers keeps the list it finds here
            return len(transformer._diffusers_hook._get_child_registries())

    assert listed() == 0
    adapter = attach(transformer)
    assert listed() == 6
    transformer._diffusers_hook.register_hook(ModelHook(), "somebody else's")
    adapter.detach()
    assert listed() == 0
    assert list(transformer._diffusers_hook.hooks) == ["somebody else's"]


def test_attach_again_after_detach(adapter, pipeline):
    with adapter.identity(person("a")):
        first = draw(pipeline)
    adapter.detach()
    with attach(pipeline.transformer).identity(person("a")):
        assert torch.equal(draw(pipeline), first)


def test_save_pretrained_is_stock_after_detach_only(adapter, transformer, tmp_path):
    plain = predict(transformer)
    transformer.save_pretrained(tmp_path / "attached")
    assert any(name.startswith("pulid_ca.") for name in transformer.state_dict())
    reloaded = FluxTransformer2DModel.from_pretrained(tmp_path / "attached").eval()
    assert torch.equal(predict(reloaded), plain)  # diffusers leaves the keys it does not know
    adapter.detach()
    transformer.save_pretrained(tmp_path / "detached")
    stock, info = FluxTransformer2DModel.from_pretrained(tmp_path / "detached", output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    assert torch.equal(predict(stock.eval()), plain)


# --- refused ---


def test_a_second_identity_while_one_is_active_is_refused(adapter, transformer):
    with adapter.identity(person("a")):
        wanted = predict(transformer)
        with pytest.raises(RuntimeError, match="one at a time"), adapter.identity(person("b")):
            pass
        assert torch.equal(predict(transformer), wanted)


def test_a_second_thread_is_refused_too(adapter):
    errors = []

    def intrude():
        try:
            with adapter.identity(person("b")):
                pass
        except RuntimeError as error:
            errors.append(str(error))

    with adapter.identity(person("a")):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "one at a time" in errors[0]
    intrude()
    assert len(errors) == 1


def test_detach_inside_an_identity_is_refused(adapter):
    with adapter.identity(person("a")), pytest.raises(RuntimeError, match="leave the context"):
        adapter.detach()


def test_attaching_twice_is_refused(adapter):
    with pytest.raises(RuntimeError, match="already attached"):
        attach(adapter.transformer)


@pytest.mark.parametrize("shape", [(5, 36), (1, 5, 35)])
def test_tokens_of_a_wrong_shape_are_refused(adapter, shape):
    with pytest.raises(ValueError, match="tokens"), adapter.identity(torch.zeros(shape)):
        pass


def test_weights_that_do_not_fit_the_identities_are_refused(adapter):
    with pytest.raises(ValueError, match="3 values for 2"), adapter.identity(person("a", 2), weight=[1, 1, 1]):
        pass


def test_weights_of_another_width_are_refused(transformer):
    adapter = attach(transformer)
    state_dict = {name: weight[..., :5] for name, weight in transformer.pulid_ca.state_dict().items()}
    adapter.detach()
    with pytest.raises(RuntimeError, match="size mismatch"):
        PuLIDAdapter(transformer, state_dict, dim_head=8, heads=4, kv_dim=36)
    assert not hasattr(transformer, "pulid_ca")


def test_fresh_weights_follow_the_seed_and_the_dtype():
    made = []
    for _ in range(2):
        transformer = build_transformer().to(torch.bfloat16)
        torch.manual_seed(3)
        PuLIDAdapter(transformer, dim_head=8, heads=4, kv_dim=36)
        made.append(transformer.pulid_ca)
    for first, second in zip(made[0].parameters(), made[1].parameters()):
        assert first.dtype == torch.bfloat16
        assert not first.requires_grad
        assert torch.equal(first, second)
    assert made[0][0].to_q.weight.std() > 0

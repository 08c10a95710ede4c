"""faceid.pulid against the reference's own numbers (tests/parity)."""

import cv2
import numpy as np
import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from parity_recipe import META, PARITY, assert_parity, load_parity, load_shapes, named_tensor, named_weights
from pulid_toys import attach, build_pipeline, build_transformer, predict

from faceid.domain import Face, IdentityKey
from faceid.pulid.cross_attention import IdentityCrossAttention
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.face_picture import masked_grey_picture, tower_pixels
from faceid.pulid.vision_tower import VisionTower

EVERY_4TH_COLUMN = (..., slice(None, None, 4))
SMALL_TOWER = {"img_size": 84, "embed_dim": 64, "num_heads": 1, "mlp_ratio": 2.6667}


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def build(cls, arguments, shapes_of, tag):
    with torch.device("meta"):
        module = cls(**arguments)
    module.load_state_dict(named_weights(load_shapes(f"{shapes_of}_shapes"), tag), strict=True, assign=True)
    return module.eval()


@pytest.fixture(scope="module")
def full_encoder():
    return build(IdentityEncoder, {}, "idformer_full", "idformer_full")


@pytest.fixture(scope="module")
def full_tower():
    return VisionTower.from_checkpoint(named_weights(load_shapes("eva_full_shapes"), "eva_full"))


def test_keys_and_shapes_are_those_of_the_checkpoint():
    with torch.device("meta"):
        module = torch.nn.ModuleDict(
            {
                "pulid_encoder": IdentityEncoder(),
                "pulid_ca": torch.nn.ModuleList(IdentityCrossAttention() for _ in range(20)),
            }
        )
    shapes = {name: list(weight.shape) for name, weight in module.state_dict().items()}
    assert shapes == load_shapes("pulid_flux_manifest")
    assert sum(weight.numel() for weight in module.state_dict().values()) == 571_033_600


@pytest.mark.parametrize("case", META["idformer"])
def test_encoder(case, request):
    arguments = META["idformer"][case]
    tag = arguments["tag"]
    if case == "full":
        encoder, kept = request.getfixturevalue("full_encoder"), EVERY_4TH_COLUMN
    else:
        encoder, kept = build(IdentityEncoder, arguments["kwargs"], "idformer_small", tag), ...
    id_cond = named_tensor("id_cond", arguments["id_cond"], tag)
    hidden = [named_tensor(f"hidden.{i}", arguments["hidden"], tag) for i in range(5)]
    want = load_parity("idformer")
    assert_parity(encoder(id_cond, hidden)[kept], want[f"{case}.out"])
    nothing = encoder(torch.zeros_like(id_cond), [torch.zeros_like(h) for h in hidden])
    assert_parity(nothing[kept], want[f"{case}.uncond"])


@pytest.mark.parametrize("case", META["ca"])
def test_cross_attention(case):
    arguments = META["ca"][case]
    tag = arguments["tag"]
    kept = (slice(None), slice(None, None, 4)) if case == "full" else ...
    attention = build(IdentityCrossAttention, arguments["kwargs"], f"ca_{case.split('_')[0]}", tag)
    tokens, hidden = named_tensor("id", arguments["id"], tag), named_tensor("hidden", arguments["hidden"], tag)
    want = load_parity("ca")
    assert_parity(attention(hidden, *attention.project(tokens))[kept], want[f"{case}.out"])
    attention, tokens, hidden = attention.bfloat16(), tokens.bfloat16(), hidden.bfloat16()
    assert_parity(attention(hidden, *attention.project(tokens))[kept], want[f"{case}.out_bf16"], relative=0.02)


@pytest.fixture(scope="module")
def flux():
    transformer = build_transformer()
    return transformer, attach(transformer)


@pytest.mark.parametrize("case", META["flux_forward"])
def test_flux_forward(case, flux):
    transformer, adapter = flux
    arguments = META["flux_forward"][case]
    want = load_parity("flux_forward")
    call = {
        "batch": arguments["B"],
        "tag": case,
        "grid": arguments["grid"],
        "timesteps": arguments["timesteps"],
        "text_tokens": arguments["text_tokens"],
    }
    if arguments["id_weight"] is None:
        assert_parity(predict(transformer, **call), want[f"{case}.out"])
        return
    tokens = named_tensor("id", (arguments["id_B"], arguments["id_tokens"], 36), case)
    with adapter.identity(tokens, weight=arguments["id_weight"]):
        assert_parity(predict(transformer, **call), want[f"{case}.out"])


def test_flux_streams_between_blocks(flux):
    transformer, adapter = flux
    arguments = META["flux_forward"]["id"]
    streams, handles = [], []
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        take = lambda module, args, kwargs: streams.append(kwargs["hidden_states"].clone())  # noqa: E731
        handles.append(block.register_forward_pre_hook(take, with_kwargs=True))
    with adapter.identity(named_tensor("id", (1, 5, 36), "id")):
        predict(transformer, tag="id", grid=arguments["grid"], timesteps=arguments["timesteps"])
    for handle in handles:
        handle.remove()
    want = load_parity("flux_forward")
    assert len(streams) == 14
    for index, stream in enumerate(streams):  # the reference's single blocks see text and image in one sequence
        assert_parity(stream, want[f"id.block_input.{index}"][:, -24:])


@pytest.mark.parametrize("case", META["flux_loop"])
def test_flux_loop(case, flux):
    transformer, adapter = flux
    pipeline = build_pipeline(transformer)
    arguments = META["flux_loop"][case]
    batch, (rows, columns), text_tokens = arguments["bs"], arguments["hw"], arguments["text_tokens"]

    def named(name, *shape):
        return named_tensor(name, shape, arguments["tag"])

    steps = []
    call = {
        "prompt_embeds": named("txt", batch, text_tokens, 40),
        "pooled_prompt_embeds": named("vec", batch, 24),
        "latents": named("img", batch, rows * columns, 64),
        "height": rows * 16,
        "width": columns * 16,
        "num_inference_steps": arguments["steps"],
        "guidance_scale": arguments["guidance"],
        "output_type": "latent",
        "callback_on_step_end": lambda pipe, step, time, state: steps.append(state["latents"].clone()) or {},
    }
    guided = arguments["cfg"] > 1
    if guided:
        call["negative_prompt_embeds"] = named("neg_txt", batch, text_tokens, 40)
        call["negative_pooled_prompt_embeds"] = named("neg_vec", batch, 24)
        call["true_cfg_scale"] = arguments["cfg"]
    if arguments["use_id"]:
        uncond = named("uncond", arguments["id_B"], 5, 36) if guided else None
        with adapter.identity(
            named("id", arguments["id_B"], 5, 36),
            uncond,
            weight=arguments["w"],
            start_step=arguments["start"],
            start_cfg=arguments["start_cfg"] if guided else 0,
        ):
            pipeline(**call)
    else:
        pipeline(**call)
    want = load_parity("flux_loop")
    assert len(steps) == arguments["steps"]
    for index, latents in enumerate(steps, start=1):
        assert_parity(latents, want[f"{case}.latents.{index}"])
    assert_parity(pipeline.scheduler.sigmas, torch.tensor(arguments["sigmas"]), relative=1e-6)


def test_schedules_of_the_stock_scheduler(flux):
    scheduler = build_pipeline(flux[0]).scheduler
    for case, sigmas in META["schedules"].items():
        steps, tokens = map(int, case.split("_"))
        shift = calculate_shift(tokens, 256, 4096, 0.5, 1.15)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=shift)
        assert_parity(scheduler.sigmas, torch.tensor(sigmas), relative=1e-6)


def test_noise_of_the_stock_pipeline(flux):
    pipeline = build_pipeline(flux[0])
    for case, want in load_parity("noise").items():
        size, seed = case.split(".seed")
        height, width = map(int, size.split("x"))
        generator = torch.Generator("cpu").manual_seed(int(seed))
        packed, _ = pipeline.prepare_latents(1, 16, height, width, torch.bfloat16, torch.device("cpu"), generator)
        assert torch.equal(pipeline._unpack_latents(packed, height, width, 8), want)


def test_small_tower():
    tower = VisionTower.from_checkpoint(named_weights(load_shapes("eva_small_shapes"), "eva_small"), **SMALL_TOWER)
    features = tower(named_tensor("image", META["eva"]["small"]["image"], "eva_small"))
    want = load_parity("eva")
    assert_parity(features.class_output, want["small.out"])
    for index, hidden in enumerate(features.hidden_states):
        assert_parity(hidden, want[f"small.hidden.{index}"])


def test_full_tower(full_tower):
    features = full_tower(named_tensor("image", META["eva"]["full"]["image"], "eva_full"))
    want = load_parity("eva")
    assert_parity(features.class_output, want["full.out"])
    assert len(features.hidden_states) == 5
    for index, hidden in enumerate(features.hidden_states):
        assert hidden.shape == (1, full_tower.num_tokens, full_tower.width) == (1, 577, 1024)
        assert_parity(hidden[:, ::16, ::4], want[f"full.hidden.{index}"])


def read_image(name):
    return cv2.imread(str(PARITY / name))[..., ::-1].copy()  # RGB


def test_face_picture():
    labels = cv2.imread(str(PARITY / "face_labels.png"), cv2.IMREAD_GRAYSCALE)
    picture = masked_grey_picture(read_image("face_aligned_512_bgr.png"), labels)
    shown = (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(shown, read_image("face_gray_masked_rgb.png"))
    assert_parity(tower_pixels(picture, 336)[:, :, ::3, ::3], load_parity("face")["clip_in"])


def test_face_to_tokens(full_tower, full_encoder):
    """From the crop to the tokens; they are float16, so half a unit in the last place comes on top."""
    labels = cv2.imread(str(PARITY / "face_labels.png"), cv2.IMREAD_GRAYSCALE)
    want = load_parity("face")
    face = Face(
        photo="face_image.png",
        face_pack="antelopev2",
        box=(0, 0, 1, 1),
        landmarks=want["kps"].numpy(),
        score=1.0,
        embedding=named_tensor("arcface", (512,), "face").numpy(),
        aligned=read_image("face_aligned_512_bgr.png"),
        thumbnail=b"",
    )
    key = IdentityKey("pulid-flux@test", "antelopev2")
    face_encoder = PuLIDFaceEncoder(key, full_tower, full_encoder, lambda aligned: labels)
    seen = []
    handle = full_encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    tokens, nobody = face_encoder.encode([face]), face_encoder.unconditional()
    handle.remove()
    assert_parity(seen[0], want["id_cond"])
    for got, wanted in ((tokens, want["id_embedding"]), (nobody, want["uncond_id_embedding"])):
        assert (got.dtype, got.shape) == (np.float16, (1, 32, 2048))
        tolerance = 3e-5 * max(1.0, wanted.abs().max().item()) + wanted.abs() * 2**-11
        assert ((torch.from_numpy(got)[..., ::4].float() - wanted).abs() <= tolerance).all()

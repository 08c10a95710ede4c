"""faceid.pulid.weights: what is fetched, how it is checked, how errors read. Toy checkpoints in a local folder."""

import hashlib

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from parity_recipe import load_shapes
from pulid_toys import build_transformer, one_thread, predict
from safetensors.torch import save_file

from faceid.errors import SetupError
from faceid.pulid import weights
from faceid.pulid.adapter import PuLIDAdapter
from faceid.pulid.cross_attention import IdentityCrossAttention
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_picture import LABELS
from faceid.pulid.vision_tower import VisionTower
from faceid.pulid.weights import PuLIDArchitecture, load_face_parser, load_pulid_flux, split_checkpoint

CROSS_ATTENTION = {"dim": 48, "dim_head": 8, "heads": 4, "kv_dim": 36}
ARCHITECTURE = PuLIDArchitecture(
    encoder={
        "dim": 16,
        "depth": 2,
        "dim_head": 8,
        "heads": 2,
        "num_queries": 4,
        "output_dim": 36,
        "id_dim": 512 + 24,
        "hidden_state_dim": 32,
        "num_hidden_states": 2,
        "mapping_dim": 16,
    },
    cross_attention=CROSS_ATTENTION,
    num_cross_attentions=6,
    tower={"hidden_blocks": (0, 1), "img_size": 56, "embed_dim": 32, "num_heads": 2, "depth": 2, "num_classes": 24},
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


def parse_nothing_but_skin(aligned):
    return np.full(aligned.shape[:2], LABELS.index("skin"))


class LocalHub:
    """Stands in for faceid.hub.fetch: repositories are folders."""

    def __init__(self, root):
        self.root = root
        self.asked = []

    def fetch(self, repo, filename, *, lock_dir, token=None):
        self.asked.append((repo, filename, lock_dir, token))
        return self.path(repo, filename)

    def path(self, repo, filename):
        return self.root / repo / filename

    def publish(self, repo, filename, state_dict):
        path = self.path(repo, filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.contiguous() for name, weight in state_dict.items()}, path)


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    encoder = IdentityEncoder(**ARCHITECTURE.encoder)
    cross_attentions = torch.nn.ModuleList(IdentityCrossAttention(**CROSS_ATTENTION) for _ in range(6))
    module = torch.nn.ModuleDict({"pulid_encoder": encoder, "pulid_ca": cross_attentions})
    return {name: weight.to(torch.bfloat16) for name, weight in module.state_dict().items()}


@pytest.fixture
def hub(tmp_path, checkpoint):
    torch.manual_seed(0)
    trunk = VisionTower(**ARCHITECTURE.tower).trunk
    hub = LocalHub(tmp_path)
    hub.publish(weights.PULID_REPO, weights.PULID_FILE, checkpoint)
    open_clip = {f"visual.trunk.{name}": weight.half() for name, weight in trunk.state_dict().items()}
    hub.publish(weights.TOWER_REPO, weights.TOWER_FILE, open_clip | {"text.token_embedding.weight": torch.zeros(2, 2)})
    return hub


def load(hub, **options):
    return load_pulid_flux(
        lock_dir=hub.root,
        fetch=hub.fetch,
        load_parser=lambda: parse_nothing_but_skin,
        architecture=ARCHITECTURE,
        **options,
    )


def test_the_loaded_adapter_encodes_and_attaches(hub, checkpoint):
    pulid = load(hub, token="hf_secret")
    tokens = pulid.face_encoder.unconditional()
    assert tokens.shape == (1, 4, 36)
    transformer = build_transformer()
    adapter = PuLIDAdapter(transformer, pulid.cross_attentions, dim_head=8, heads=4, kv_dim=36)
    assert transformer.pulid_ca[5].to_q.weight.dtype == transformer.dtype == torch.float32
    assert torch.equal(transformer.pulid_ca[5].to_q.weight, checkpoint["pulid_ca.5.to_q.weight"].float())
    plain = predict(transformer)
    with adapter.identity(torch.from_numpy(tokens)):
        assert not torch.equal(predict(transformer), plain)
    wanted_files = [(weights.PULID_REPO, weights.PULID_FILE), (weights.TOWER_REPO, weights.TOWER_FILE)]
    assert hub.asked == [(repo, name, hub.root, "hf_secret") for repo, name in wanted_files]


def test_the_key_names_the_weights_and_the_pack(hub, checkpoint):
    digest = hashlib.sha256(hub.path(weights.PULID_REPO, weights.PULID_FILE).read_bytes()).hexdigest()
    pulid = load(hub)
    assert pulid.key == (f"pulid-flux-v0.9.1@{digest[:12]}", "antelopev2")
    assert pulid.face_encoder.key == pulid.key
    hub.publish(weights.PULID_REPO, weights.PULID_FILE, checkpoint | {"pulid_encoder.latents": torch.ones(1, 4, 16)})
    assert load(hub).key.adapter != pulid.key.adapter


def test_default_architecture_is_that_of_the_real_checkpoint():
    with torch.device("meta"):
        real = {name: torch.empty(shape) for name, shape in load_shapes("pulid_flux_manifest").items()}
        architecture = PuLIDArchitecture()
        encoder = IdentityEncoder(**architecture.encoder)
        attentions = torch.nn.ModuleList(IdentityCrossAttention() for _ in range(architecture.num_cross_attentions))
    encoder_state, cross_attention_state = split_checkpoint(real)
    assert (len(encoder_state), len(cross_attention_state)) == (172, 140)
    weights.check_state_dict(encoder, encoder_state, source="encoder")
    weights.check_state_dict(attentions, cross_attention_state, source="cross-attentions")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pulid_encoder.latents": None}, "latents is missing"),
        ({"pulid_ca.0.to_q.weight": torch.zeros(3, 48)}, r"0\.to_q\.weight is \(3, 48\), not \(32, 48\)"),
        ({"pulid_ca.6.norm1.weight": torch.zeros(36)}, r"6\.norm1\.weight is not expected"),
        ({"lora.weight": torch.zeros(1)}, "lora.weight is not a weight of PuLID-FLUX"),
    ],
)
def test_other_checkpoints_are_refused_by_their_first_wrong_keys(hub, checkpoint, change, message):
    changed = {name: weight for name, weight in (checkpoint | change).items() if weight is not None}
    hub.publish(weights.PULID_REPO, weights.PULID_FILE, changed)
    with pytest.raises(SetupError, match=message):
        load(hub)


def test_a_long_list_of_wrong_keys_is_cut(hub, checkpoint):
    hub.publish(weights.PULID_REPO, weights.PULID_FILE, {n: w for n, w in checkpoint.items() if "pulid_ca" not in n})
    with pytest.raises(SetupError, match="and 39 more"):
        load(hub)


def test_another_tower_is_refused(hub):
    hub.publish(weights.TOWER_REPO, weights.TOWER_FILE, {"visual.trunk.cls_token": torch.zeros(1, 1, 32)})
    with pytest.raises(SetupError, match="is not the vision tower"):
        load(hub)


def test_a_broken_file_is_named(hub):
    hub.path(weights.PULID_REPO, weights.PULID_FILE).write_bytes(b"<html>404</html>")
    with pytest.raises(SetupError, match=r"pulid_flux_v0\.9\.1\.safetensors cannot be read"):
        load(hub)


def test_the_parser_is_given_bgr():
    seen = []

    def network(bgr):
        seen.append(bgr)
        return np.zeros(bgr.shape[:2], np.uint8)

    rgb = skimage.data.astronaut()
    labels = load_face_parser(lambda: network)(rgb)
    assert labels.shape == (512, 512)
    assert np.array_equal(seen[0], cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


@pytest.mark.parametrize("error", [ConnectionError("no route"), RuntimeError("bad model")])
def test_a_parser_that_cannot_be_had_is_a_setup_error(error):
    def open_model():
        raise error

    with pytest.raises(SetupError, match=r"parsing_resnet18\.onnx"):
        load_face_parser(open_model)


def test_the_parser_file_named_in_the_error_is_unifaces():
    from uniface.constants import MODEL_REGISTRY, ParsingWeights
    from uniface.parsing import BiSeNet

    assert f"{ParsingWeights.RESNET18.value}.onnx" == weights.PARSER_FILE
    assert BiSeNet.__init__.__kwdefaults__["model_name"] == ParsingWeights.RESNET18
    assert BiSeNet.mask_type == "class_ids"
    assert len(MODEL_REGISTRY[ParsingWeights.RESNET18].sha256) == 64

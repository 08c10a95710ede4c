"""faceid.pulid's way from faces to tokens, at toy width: one photo, several, and those that are refused."""

import numpy as np
import pytest
import skimage.data
import torch
from parity_recipe import named_tensor
from pulid_toys import one_thread

from faceid.domain import Face, IdentityKey
from faceid.errors import InvalidPhotos, SetupError, Unavailable
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.face_picture import LABELS
from faceid.pulid.vision_tower import VisionTower

KEY = IdentityKey("pulid-toy@1", "antelopev2")
HAIR, CLOTH = LABELS.index("hair"), LABELS.index("cloth")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    overrides = {"img_size": 56, "embed_dim": 32, "num_heads": 2, "depth": 3, "num_classes": 24}
    return VisionTower(hidden_blocks=(0, 2), **overrides).eval()


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    sizes = {"dim": 16, "depth": 4, "dim_head": 8, "heads": 2, "num_id_token": 2, "num_queries": 6, "output_dim": 20}
    return IdentityEncoder(
        **sizes, id_dim=512 + 24, hidden_state_dim=32, num_hidden_states=2, mapping_dim=16, ff_mult=2
    ).eval()


@pytest.fixture
def face_encoder(tower, encoder):
    return PuLIDFaceEncoder(KEY, tower, encoder, picture="colour")


def crop(shift=0):
    astronaut = skimage.data.astronaut()  # NASA, public domain; (512, 512, 3)
    return np.roll(astronaut, shift, axis=1)


def face(name="a", *, aligned=None, pack="antelopev2", embedding=None):
    return Face(
        photo=f"{name}.jpg",
        face_pack=pack,
        box=(0, 0, 100, 100),
        landmarks=np.zeros((5, 2), np.float32),
        score=0.9,
        embedding=named_tensor("arcface", (512,), name).numpy() * 20 if embedding is None else embedding,
        aligned=crop() if aligned is None else aligned,
        thumbnail=b"",
    )


def halves(aligned):
    """Left half hair, right half cloth."""
    labels = np.full(aligned.shape[:2], HAIR, np.uint8)
    labels[:, 256:] = CLOTH
    return labels


# --- faces to tokens ---


def test_tokens_are_float16_and_repeat(face_encoder):
    tokens = face_encoder.encode([face()])
    assert tokens.shape == (1, 6, 20)
    assert tokens.dtype == np.float16
    assert np.array_equal(tokens, face_encoder.encode([face()]))
    assert face_encoder.key == KEY


def test_vector_and_picture_both_matter(face_encoder):
    tokens = face_encoder.encode([face("a")])
    assert not np.allclose(tokens, face_encoder.encode([face("b")]), atol=1e-2)
    assert not np.allclose(tokens, face_encoder.encode([face("a", aligned=crop(100))]), atol=1e-3)


def test_unconditional_tokens_are_the_encoder_of_zeros(face_encoder, encoder):
    nothing = [torch.zeros(1, 17, 32)] * 2
    with torch.no_grad():
        wanted = encoder(torch.zeros(1, 536), nothing).half().numpy()
    unconditional = face_encoder.unconditional()
    assert np.array_equal(unconditional, wanted)
    unconditional[:] = 0  # a caller's copy
    assert np.array_equal(face_encoder.unconditional(), wanted)


def conditions_of(encoder, face_encoder, faces):
    """What the resampler was given."""
    seen = []
    handle = encoder.register_forward_pre_hook(lambda module, args: seen.append(args))
    face_encoder.encode(faces)
    handle.remove()
    return seen[0]


def test_two_copies_of_a_photo_are_that_photo(face_encoder, encoder):
    one_cond, one_hidden = conditions_of(encoder, face_encoder, [face()])
    two_cond, two_hidden = conditions_of(encoder, face_encoder, [face(), face()])
    assert torch.allclose(one_cond, two_cond, atol=1e-5)
    for one, two in zip(one_hidden, two_hidden):
        assert torch.allclose(one, two, atol=1e-5)


def test_several_photos_are_averaged_as_directions(face_encoder, encoder):
    long, short = np.zeros(512, np.float32), np.zeros(512, np.float32)
    long[0], short[1] = 30, 10
    faces = [face("a", embedding=long), face("b", embedding=short, aligned=crop(60))]
    id_cond, hidden = conditions_of(encoder, face_encoder, faces)
    vector, class_output = id_cond[0, :512], id_cond[0, 512:]
    assert torch.allclose(vector[:2], torch.tensor([1.0, 1.0]) / 2**0.5 * 20)  # both weigh the same, mean norm kept
    assert class_output.norm().item() == pytest.approx(1, abs=1e-5)
    singles = [conditions_of(encoder, face_encoder, [one])[1] for one in faces]
    for index, state in enumerate(hidden):
        assert torch.allclose(state, (singles[0][index] + singles[1][index]) / 2, atol=1e-5)


def test_one_photo_keeps_its_vector_as_it_is(face_encoder, encoder):
    id_cond, _ = conditions_of(encoder, face_encoder, [face()])
    assert torch.equal(id_cond[0, :512], torch.from_numpy(face().embedding))


def test_masked_encoder_does_not_see_what_is_hidden(tower, encoder):
    face_encoder = PuLIDFaceEncoder(KEY, tower, encoder, halves)
    other_clothes = crop()
    other_clothes[:, 256:] = 17
    tokens = face_encoder.encode([face()])
    assert np.array_equal(tokens, face_encoder.encode([face(aligned=other_clothes)]))
    other_hair = crop()
    other_hair[:, :256] = 17
    assert not np.array_equal(tokens, face_encoder.encode([face(aligned=other_hair)]))


def test_a_photo_without_a_parsed_face_is_named(tower, encoder):
    face_encoder = PuLIDFaceEncoder(KEY, tower, encoder, lambda aligned: np.zeros((512, 512), np.uint8))
    with pytest.raises(InvalidPhotos) as caught:
        face_encoder.encode([face("holiday")])
    assert caught.value.problems[0].photo == "holiday.jpg"


def test_masked_without_a_parser_is_refused(tower, encoder):
    with pytest.raises(SetupError, match="no face parser"):
        PuLIDFaceEncoder(KEY, tower, encoder)


def test_a_face_of_another_pack_is_refused_with_the_cure(face_encoder):
    with pytest.raises(Unavailable, match="FACEID_FACE_PACK=antelopev2"):
        face_encoder.encode([face(), face(pack="offline")])


def test_without_the_arcface_slot_any_pack_will_do(tower, encoder):
    face_encoder = PuLIDFaceEncoder(KEY, tower, encoder, picture="colour", arcface_slot="zeros")
    tokens = face_encoder.encode([face("a", pack="offline")])
    assert np.array_equal(tokens, face_encoder.encode([face("b")]))  # the same crop


def test_sizes_that_do_not_fit_are_refused(tower, encoder):
    with pytest.raises(SetupError, match=r"takes 536 .* 128 \+ 24"):
        PuLIDFaceEncoder(KEY, tower, encoder, picture="colour", arcface_dim=128)


def test_a_vector_of_another_length_is_refused(face_encoder):
    with pytest.raises(ValueError, match="128 values"):
        face_encoder.encode([face(embedding=np.ones(128, np.float32))])


def test_no_faces_are_refused(face_encoder):
    with pytest.raises(ValueError, match="none given"):
        face_encoder.encode([])


def test_encoding_is_float32_on_the_cpu_whatever_came(tower, encoder):
    reference = PuLIDFaceEncoder(KEY, tower, encoder, picture="colour").encode([face()])
    assert {weight.dtype for weight in tower.parameters()} == {torch.float32}
    with torch.device("meta"):  # another part of the program sets a default device
        assert np.array_equal(PuLIDFaceEncoder(KEY, tower, encoder, picture="colour").encode([face()]), reference)

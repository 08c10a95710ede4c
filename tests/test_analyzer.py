"""faceid.faces.analyzer with the real offline pack, and with a tiny pack shaped as antelopev2."""

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pictures import astronaut, encode, magenta_square, nobody, six_people
from PIL import Image
from tiny_pack import write_tiny_detector, write_tiny_pack, write_tiny_recogniser

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, InvalidRequest, PhotoProblem, SetupError
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import FacePack, load_face_pack
from faceid.web.create_tab import DIFFERENT, explain


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory):
    return FaceAnalyzer(load_face_pack("offline", folder=tmp_path_factory.mktemp("packs")))


@pytest.fixture(scope="module")
def upright(analyzer):
    return analyzer.detect_face(encode(astronaut(), name="upright.png"))


@pytest.fixture(scope="module")
def somebody_else(analyzer):
    """The largest face of six people, cut out."""
    left, top, right, bottom = analyzer.detect_face(encode(six_people())).box
    return six_people().crop((left - 60, top - 60, right + 60, bottom + 60))


def tiny_pack(folder):
    return FacePack(name="antelopev2", folder=folder, dim=512, licence="")


def cosine(a, b):
    return float(a.embedding @ b.embedding / np.linalg.norm(a.embedding) / np.linalg.norm(b.embedding))


def problems(analyzer, *uploads, **options):
    with pytest.raises(InvalidPhotos) as caught:
        analyzer.read_faces(uploads, **options)
    return dict(caught.value.problems)


def test_a_face_is_found_aligned_and_embedded(upright):
    left, top, right, bottom = upright.box
    assert 150 < left < 200 < 250 < right < 300
    assert 40 < top < 80 < 160 < bottom < 200
    assert (upright.photo, upright.face_pack, upright.warnings) == ("upright.png", "offline", ())
    assert upright.embedding.shape == (128,)
    assert upright.embedding.dtype == upright.landmarks.dtype == np.float32
    assert upright.landmarks.shape == (5, 2)
    assert upright.aligned.shape == (512, 512, 3)
    assert 0.8 < upright.score <= 1
    assert abs(np.linalg.norm(upright.embedding) - 1) > 0.1  # not normalised


def test_the_thumbnail_is_a_small_webp_of_the_face(upright):
    thumbnail = Image.open(io.BytesIO(upright.thumbnail))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (256, 256))
    expected = Image.fromarray(upright.aligned).resize((256, 256))
    assert np.abs(np.asarray(thumbnail, int) - np.asarray(expected)).mean() < 8


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_photo_gives_the_same_face_and_a_warning(analyzer, upright, turns):
    face = analyzer.detect_face(encode(astronaut().rotate(90 * turns, expand=True)))
    assert cosine(face, upright) > 0.95
    assert np.abs(face.aligned.astype(int) - upright.aligned).mean() < 4
    assert "turned" in face.warnings[0]


def test_an_exif_rotated_photo_gives_the_same_face_and_no_warning(analyzer, upright):
    exif = Image.Exif()
    exif[0x0112] = 6
    face = analyzer.detect_face(encode(astronaut().rotate(90, expand=True), exif=exif.tobytes()))
    assert cosine(face, upright) > 0.999
    assert face.warnings == ()


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
def test_a_format_does_not_change_who_it_is(analyzer, upright, form):
    assert cosine(analyzer.detect_face(encode(astronaut(), form)), upright) > 0.95


def test_of_several_faces_the_largest_is_used_with_a_warning(analyzer):
    face = analyzer.detect_face(encode(six_people()))
    assert face.warnings == ("6 faces were found; the largest was used.",)


def test_a_face_in_a_large_photo_is_found_where_it_is(analyzer, upright):
    canvas = Image.new("RGB", (3000, 2000), (90, 120, 90))
    canvas.paste(astronaut(), (2000, 1000))
    face = analyzer.detect_face(encode(canvas, "JPEG", quality=95))
    np.testing.assert_allclose(np.array(face.box) - (2000, 1000, 2000, 1000), upright.box, atol=12)
    assert cosine(face, upright) > 0.7


@pytest.mark.parametrize("name", ["cat", "coffee", "rocket"])
def test_a_picture_without_a_person_is_refused_by_name(analyzer, name):
    message = problems(analyzer, encode(nobody(name), name=f"{name}.png"))[f"{name}.png"]
    assert message.startswith("No face was found. Send a photo")


@pytest.mark.parametrize("size", [(512, 512), (1, 1), (2000, 3)])
def test_a_blank_is_refused(analyzer, size):
    assert "No face" in problems(analyzer, encode(Image.new("RGB", size, (200, 200, 200)), name="blank"))["blank"]


def test_a_small_face_is_refused_with_its_size(analyzer):
    message = problems(analyzer, encode(astronaut().resize((180, 180)), name="small.png"))["small.png"]
    assert message.startswith("The face is 3")
    assert "at least 48 px" in message


def test_every_photos_problem_is_told_at_once(analyzer):
    whole = encode(astronaut(), "JPEG")
    found = problems(
        analyzer,
        encode(astronaut(), name="good.png"),
        encode(nobody("coffee"), name="cup.png"),
        Upload("cut.jpg", whole.content[:5000]),
        Upload("text.jpg", b"hello"),
    )
    assert list(found) == ["cup.png", "cut.jpg", "text.jpg"]


def test_photos_of_one_person_pass(analyzer):
    photo = astronaut()
    uploads = [
        encode(photo, "JPEG", name="a"),
        encode(photo.rotate(12), name="b"),
        encode(photo.convert("L"), name="c"),
    ]
    faces = analyzer.read_faces(uploads)
    assert [face.photo for face in faces] == ["a", "b", "c"]


def test_the_odd_one_out_is_named(analyzer, somebody_else):
    uploads = [
        encode(astronaut(), name="a.png"),
        encode(somebody_else, name="odd.png"),
        encode(astronaut().rotate(10), name="b.png"),
    ]
    found = problems(analyzer, *uploads)
    assert list(found) == ["odd.png"]
    assert "another person than in a.png" in found["odd.png"]
    assert "allow_different_people=true" in found["odd.png"]
    on_the_page = explain(InvalidPhotos([PhotoProblem("odd.png", found["odd.png"])]))
    assert on_the_page.endswith(f"Leave it out, or tick “{DIFFERENT}”.")
    assert len(analyzer.read_faces(uploads, allow_different_people=True)) == 3


def test_two_photos_of_two_people_are_refused(analyzer, somebody_else):
    found = problems(analyzer, encode(astronaut(), name="a.png"), encode(somebody_else, name="b.png"))
    assert list(found) == ["b.png"]


def test_the_same_bytes_twice_are_read_once_and_told_by_both_names(analyzer):
    upload = encode(astronaut(), name="one.png")
    before = analyzer.faces_read
    faces = analyzer.read_faces([upload, Upload("two.png", upload.content)])
    assert [face.photo for face in faces] == ["one.png", "two.png"]
    assert analyzer.faces_read == before + 1
    bad = encode(nobody("coffee"))
    assert list(problems(analyzer, Upload("x", bad.content), Upload("y", bad.content))) == ["x", "y"]


@pytest.mark.parametrize("number", [0, 21])
def test_the_number_of_photos_is_checked_before_any_is_read(analyzer, number):
    before = analyzer.faces_read
    with pytest.raises(InvalidRequest, match=f"^images: {number} photos were given; a tune takes 1 to 20") as caught:
        analyzer.read_faces([encode(astronaut())] * number)
    assert caught.value.field == "images"
    assert analyzer.faces_read == before


def test_a_1080p_photo_is_read_well_under_a_second(analyzer):
    canvas = Image.new("RGB", (1920, 1080), (90, 120, 90))
    canvas.paste(astronaut().resize((900, 900)), (500, 100))
    upload = encode(canvas, "JPEG", quality=92)
    analyzer.read_faces([upload])  # warm
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        analyzer.read_faces([upload])
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_threads_get_their_own_faces(analyzer, upright, somebody_else):
    uploads = [encode(astronaut(), name="a"), encode(somebody_else, name="b")] * 3
    expected = [analyzer.detect_face(upload) for upload in uploads[:2]] * 3
    with ThreadPoolExecutor(4) as pool:
        faces = list(pool.map(analyzer.detect_face, uploads))
    for face, want in zip(faces, expected):
        assert face.photo == want.photo
        np.testing.assert_allclose(face.embedding, want.embedding, atol=1e-5)


# --- a pack shaped as antelopev2 -------------------------------------------------------------------------------------


def test_a_pack_shaped_as_antelopev2_is_read_by_insightface(tmp_path):
    analyzer = FaceAnalyzer(tiny_pack(write_tiny_pack(tmp_path)))
    face = analyzer.detect_face(encode(magenta_square((320, 256))))
    assert (face.face_pack, face.embedding.shape) == ("antelopev2", (512,))
    np.testing.assert_allclose(face.box, (256, 192, 384, 320), atol=0.1)
    assert analyzer.faces_read == 1


def test_a_missing_folder_is_an_error_and_nothing_is_asked_of_github(tmp_path):
    with pytest.raises(SetupError, match="is missing"):
        FaceAnalyzer(tiny_pack(tmp_path / "antelopev2"))


def test_a_folder_without_one_of_the_models_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    write_tiny_recogniser(tmp_path / "a" / "rec.onnx")
    with pytest.raises(SetupError, match="no face detector"):
        FaceAnalyzer(tiny_pack(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    write_tiny_detector(tmp_path / "b" / "det.onnx")
    with pytest.raises(SetupError, match="no face recogniser"):
        FaceAnalyzer(tiny_pack(tmp_path / "b"))

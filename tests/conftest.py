"""What tests share: the astronaut, the offline face pack, `fast`, a studio of one's own, and the app on a free port.

Everything is the real class; what is slow to make is made once.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull  # nobody speaks TLS here: every client would read a list of authorities, 60 ms
if at_once := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # torch takes its share of the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // int(at_once))))

import faceid.web.lean_gradio  # noqa: F401  before Gradio, as in app.py

# isort: split
import pytest
import spaces  # noqa: F401  before torch, as in app.py

from faceid.base_models import find_base_model
from faceid.domain import TuneFields, Upload
from faceid.jobs import JobQueue
from faceid.loading import Loading, Models
from faceid.store import TuneStore
from faceid.studio import Studio


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: tests wait for browsers, sockets and processes that they have started."""
    return os.cpu_count() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: they start apps and browsers, and at the end nobody should wait for one of them."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])  # stable: a file's tests keep their order


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """NASA's portrait of Eileen Collins: one face, public domain."""
    return Path(__file__).parents[1] / "examples" / "photos" / "astronaut.jpg"


@pytest.fixture(scope="session")
def astronaut(astronaut_path) -> Upload:
    """The same, as it is uploaded."""
    return Upload(astronaut_path.name, astronaut_path.read_bytes())


@pytest.fixture(scope="session")
def face_pack(tmp_path_factory):
    """The offline face pack, built once."""
    from faceid.faces.packs import load_face_pack

    return load_face_pack("offline", folder=tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="session")
def analyzer(face_pack):
    """A face reader on the offline pack."""
    from faceid.faces.analyzer import FaceAnalyzer

    return FaceAnalyzer(face_pack)


@pytest.fixture(scope="session")
def fast(face_pack, tmp_path_factory):
    """The loaded base model `fast`."""
    from faceid.flux.pipeline import load_engine

    return load_engine(find_base_model("fast"), lock_dir=tmp_path_factory.mktemp("locks"), face_pack=face_pack.name)


@pytest.fixture(scope="session")
def networks(face_pack, analyzer, fast, tmp_path_factory):
    """What finishes the pictures of `fast` where the Hub is not asked."""
    from faceid.finishing.loading import load_finishing
    from faceid.flux.loading import Loaded
    from faceid.settings import Settings

    settings = Settings(data_dir=tmp_path_factory.mktemp("finishing"), face_pack="offline")
    return load_finishing(settings, Loaded(face_pack, analyzer, None, (fast,)))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "faceid"


@pytest.fixture
def store(folder) -> Iterator[TuneStore]:
    """An empty store in that folder."""
    with closing(TuneStore.open(folder)) as store:
        yield store


@pytest.fixture
def make_studio(analyzer, fast, networks, tmp_path) -> Iterator[Callable[..., Studio]]:
    """Makes a studio on `fast` over a fresh data folder; keyword arguments are the Studio's and Models'."""
    with ExitStack() as resources:

        def make(**given) -> Studio:
            store = given.pop("store", None) or resources.enter_context(closing(TuneStore.open(tmp_path / "data")))
            jobs = given.pop("jobs", None) or resources.enter_context(closing(JobQueue()))
            models = Models(
                given.pop("faces", analyzer),
                given.pop("encoders", {fast.base_model.adapter: fast.encoder}),
                given.pop("judge", None),
                given.pop("swap_reader", None),
                given.pop("missing", networks.missing),
            )
            parts = {
                "loading": Loading.finished(models),
                "measures_likeness": models.judge is not None,
                "paint": fast.generator.generate,
                "base_models": [fast.base_model],
            }
            return Studio(store=store, jobs=jobs, **(parts | given))

        yield make


@pytest.fixture
def studio(make_studio) -> Studio:
    """A studio on `fast` over a fresh data folder."""
    return make_studio()


@pytest.fixture
def tune(studio, astronaut):
    """A tune of the astronaut that belongs to `me`."""
    return studio.create_tune("me", [astronaut], TuneFields(title="Eileen", name="woman")).tune


@pytest.fixture
def restore_registered():
    """For tests that register a generator of their own: afterwards the app's draw again."""
    from faceid.flux import gpu

    before = gpu.registered()
    yield
    for generator in before.values():
        gpu.register(generator)


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory) -> Path:
    """The data folder of the app that `app_url` runs."""
    return tmp_path_factory.mktemp("app")


@contextmanager
def upload_folder_kept() -> Iterator[None]:
    """Gradio has one upload folder a process, in the environment: afterwards it is again that of the app before."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    try:
        yield
    finally:
        if before is not None:
            os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def running_app(folder: Path) -> Iterator[str]:
    """The address of the real app over a data folder, launched as app.py does it, on a free port of loopback."""
    import app
    from faceid.settings import Settings

    with upload_folder_kept(), ExitStack() as resources:
        demo, load = app.compose(Settings(data_dir=folder, face_pack="offline"), resources)
        load()
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
        resources.callback(demo.close)
        yield url.rstrip("/")


@pytest.fixture(scope="session")
def app_url(app_folder) -> Iterator[str]:
    """The address of an app that tests share; what they leave in it is theirs to remove or to bear."""
    with running_app(app_folder) as url:
        yield url


@pytest.fixture(scope="module")
def public_app(tmp_path_factory) -> Iterator:
    """An app for many users, with a backup, that a file's tests share; a `visitors.PublicApp`."""
    from visitors import running_public_app

    folder = tmp_path_factory.mktemp("public")
    with running_public_app(folder / "data", backup_dir=folder / "backup") as app:
        yield app

"""faceid.web.upload_route: what the page's uploads are told where they cannot be kept."""

import resource

from starlette.applications import Starlette
from starlette.testclient import TestClient

from faceid.web.upload_route import upload_route


def test_a_photo_that_the_disk_has_no_room_for_is_507_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    client = TestClient(Starlette(routes=[upload_route()]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow past it
    try:
        answer = client.post("/gradio_api/upload", files=[("files", ("a.jpg", bytes(2000)))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["message"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert client.post("/gradio_api/upload", files=[("files", ("a.jpg", bytes(2000)))]).status_code == 200

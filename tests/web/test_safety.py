"""Who may come in, and what may not: foreign hosts and origins, paths, uploads."""

import asyncio
import http.client
from contextlib import closing

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from explorer_serving import at, greeted, served
from explorer_stand_in import CONTEXT
from outofsight.data.video import write_video
from outofsight.errors import VideoError
from outofsight.web import server as server_module
from outofsight.web.guard import doors_for
from outofsight.web.studio import decode_apart


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(tmp_path_factory.mktemp("walks")) as (given, _):
        yield given


def status_of(address, path="/", method="GET", **headers):
    """Ask for exactly this path, which other clients would tidy up."""
    connection = http.client.HTTPConnection(address, timeout=5)
    with closing(connection):
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        with connection.getresponse() as answer:
            return answer.status


async def refused(address, **options):
    try:
        async with connect(f"ws://{address}/socket", **options):
            return None
    except InvalidStatus as error:
        return error.response.status_code


def session_of(address):
    async def work():
        async with at(address) as socket:
            return (await greeted(socket)).session

    return asyncio.run(work())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", ""]
)
def test_a_foreign_host_is_refused(address, host):
    assert status_of(address, Host=host) == 403


def test_this_machines_names_are_not(address):
    port = address.split(":")[1]
    for host in (address, f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert status_of(address, Host=host) == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example", "file://", ""],
)
def test_a_foreign_origin_is_refused(address, origin):
    assert asyncio.run(refused(address, origin=origin)) == 403
    assert status_of(address, Origin=origin) == 403


def test_a_socket_without_an_origin_is_refused(address):
    assert asyncio.run(refused(address)) == 403


def test_another_sites_requests_are_refused_but_a_link_is_followed(address):
    assert (
        status_of(address, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="image")
        == 403
    )
    assert (
        status_of(address, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")
        == 403
    )
    assert (
        status_of(address, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")
        == 200
    )


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2f..%2fetc/passwd", "//etc/passwd", "/page/../server.py",
        "/walks/../../state.json", "/walks/..%2f..%2f/walk.mp4", "/walks/AAAA/state.json", "/walks/x/walk.mp4",
        "/walks/" + "A" * 22 + "/walk.mp4", "/main.js/", "/server.py", "/.git/config", "/index.html%00.js",
        "/style.css/../server.py",
    ],
)  # fmt: skip
def test_addresses_are_no_paths(address, path):
    assert status_of(address, path) == 404


def test_the_page_is_kept_to_itself(address):
    answer = httpx.get(f"http://{address}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert answer.text.count("http://") == answer.text.count("http://www.w3.org")


def test_with_a_token_nothing_goes_without_it(tmp_path):
    token = "secret-of-this-test"
    with served(tmp_path, token=token) as (address, _):
        assert status_of(address) == 403
        assert status_of(address, "/main.js") == 403
        assert status_of(address, "/?token=wrong") == 403
        answer = httpx.get(f"http://{address}/?token={token}")
        assert answer.status_code == 200
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "SameSite=Strict" in answer.headers["set-cookie"]
        assert httpx.get(f"http://{address}/main.js", cookies=dict(answer.cookies)).status_code == 200
        assert asyncio.run(refused(address, origin=f"http://{address}")) == 403
        cookie = {"Cookie": f"outofsight={token}"}
        assert asyncio.run(refused(address, origin=f"http://{address}", additional_headers=cookie)) is None
        assert asyncio.run(refused(address, origin="http://evil.example", additional_headers=cookie)) == 403


def test_another_host_needs_a_token():
    assert doors_for(80, None).hosts >= {"localhost", "127.0.0.1:80"}
    assert doors_for(8765, "t").hosts == frozenset()


def upload(address, session, content, **query):
    asked = {"caption": "A cat sits.", "fov": "70", **query}
    return httpx.post(f"http://{address}/walks/{session}/video", params=asked, content=content, timeout=60)


def test_a_video_of_ones_own(address, tmp_path):
    path = tmp_path / "own.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (CONTEXT, 64, 64, 3), dtype=np.uint8)
    write_video(path, frames, 10)

    async def work():
        async with at(address) as socket:
            page = await greeted(socket)
            answer = await asyncio.to_thread(upload, address, page.session, path.read_bytes(), fov="55")
            assert answer.status_code == 204
            status = await page.until("status", lambda told: told["prompt"] == "A cat sits.")
            assert status["fov_deg"] == pytest.approx(55)
            assert not status["has_truth"]
            for content, query, line in (
                (b"no video at all", {}, "no video"),
                (path.read_bytes()[:900], {}, "video"),
                (path.read_bytes(), {"fov": "500"}, "10 to 150"),
                (path.read_bytes(), {"caption": "  "}, "caption"),
            ):
                answer = await asyncio.to_thread(upload, address, page.session, content, **query)
                assert answer.status_code == 400
                assert line in answer.text
                assert str(tmp_path) not in answer.text
                assert "/tmp" not in answer.text

    asyncio.run(work())


def test_a_video_of_too_many_pixels_or_too_few_frames_is_refused(tmp_path):
    for shape, line in (((1, 1090, 1922, 3), "at most 1920×1088"), ((2, 32, 48, 3), "at least 9 frames")):
        write_video(tmp_path / "own.mp4", np.zeros(shape, np.uint8), 10)
        with pytest.raises(VideoError, match=line):
            decode_apart(tmp_path / "own.mp4", (32, 48), CONTEXT)


def test_uploads_are_bounded(address, monkeypatch):
    monkeypatch.setattr(server_module, "UPLOAD_BYTES", 1000)
    session = session_of(address)
    assert upload(address, session, b"x" * 2000).status_code == 413
    assert upload(address, "A" * 22, b"x").status_code == 404
    assert status_of(address, f"/walks/{session}/video") == 405
    assert (
        status_of(
            address, f"/walks/{session}/video", "POST", Origin="http://evil.example", Content_Length="0"
        )
        == 403
    )

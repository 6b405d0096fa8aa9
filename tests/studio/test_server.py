"""The server: by Starlette's test client, and a real one with sockets that break and return."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer Starlette prefers httpx2, which it does not need
    from starlette.testclient import TestClient

from starlette.websockets import WebSocketDisconnect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from backlight.errors import UsageError  # noqa: E402
from backlight.studio.guard import Guard  # noqa: E402
from backlight.studio.serve import Running, open_socket  # noqa: E402
from backlight.studio.server import make_app  # noqa: E402
from backlight.studio.session import Session  # noqa: E402

CSV = "length,width,kind\n" + "".join(f"{k},{k % 3},{'ab'[k % 2]}\n" for k in range(30))
ADDRESS = "http://127.0.0.1:8377"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(folder=tmp_path, executor="reference")


@pytest.fixture
def client(session: Session) -> Iterator[TestClient]:
    app = make_app(session, Guard("secret", 8377))
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def running(session: Session) -> Iterator[Running]:
    with Running(session, token="secret") as made:
        yield made


# ---- the page and its files ----------------------------------------------------------------------


def test_the_page_needs_the_token(client: TestClient) -> None:
    assert client.get("/?token=secret").status_code == 200
    for wrong in ("/", "/?token=", "/?token=other"):
        answer = client.get(wrong)
        assert answer.status_code == 403 and "token" in answer.text
    assert client.get("/", headers={"X-Backlight-Token": "secret"}).status_code == 200


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/?token=secret", "/", "/style.css", "/nothing.js", "/export/svg?token=secret"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_foreign_hosts_and_origins_are_turned_away(client: TestClient) -> None:
    assert client.get("/?token=secret", headers={"Host": "evil.example"}).status_code == 421
    headers = {"Origin": "http://evil.example"}
    assert client.get("/?token=secret", headers=headers).status_code == 403
    assert client.post("/upload?token=secret", headers=headers, content=CSV).status_code == 403
    assert client.get("/style.css", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "path",
    ["/../serve.py", "/%2e%2e/serve.py", "/..%2fserve.py", "/.hidden.js", "/vendor/../../serve.py",
     "/index.html/", "/x.py", "//etc/passwd", "/a\\b.js", "/" + "x" * 3000 + ".js"],
)  # fmt: skip
def test_only_files_of_the_page_are_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 421)
    assert "import" not in answer.text


# ---- uploads -------------------------------------------------------------------------------------


def test_a_table_becomes_a_data_set_for_live_training(client: TestClient, session: Session) -> None:
    answer = client.post("/upload?token=secret&name=birds.csv&target=kind", content=CSV)
    assert answer.status_code == 200
    told = answer.json()
    assert told["rows"] == 30 and told["features"] == ["length", "width"]
    assert told["classes"] == ["a", "b"]
    config = {"data": told["id"], "layers": [3]}
    state = session.handle({"do": "open", "what": {"kind": "live", "config": config}})
    assert state["task"]["data"] == "birds" and state["task"]["rows"] == 30
    assert session.handle({"do": "catalogue"})["data"][-1]["title"] == "birds"
    session.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff\xfe garbage", b"a,b\n1,2\n1\n", b"%PDF-1.4 \x93", b"one line",
     b"a,a,b\n1,2,3\n2,3,4\n"],
)  # fmt: skip
def test_a_table_that_is_none_is_refused_with_a_sentence(
    client: TestClient, session: Session, body: bytes
) -> None:
    before = session.state()
    answer = client.post("/upload?token=secret&name=../../x.csv", content=body)
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert message.endswith(".") and "/tmp" not in message and "x.csv" in message
    assert session.state() == before and not session.uploads


def test_a_table_that_is_too_large_is_refused(client: TestClient, session: Session) -> None:
    body = b"a,b\n" + b"1,2\n" * (3 << 20)
    assert client.post("/upload?token=secret", content=body).status_code == 413

    def in_parts() -> Iterator[bytes]:  # without a length
        for _ in range(20):
            yield b"1,2\n" * (1 << 17)

    assert client.post("/upload?token=secret", content=in_parts()).status_code == 413
    assert not session.uploads


# ---- downloads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "start"),
    [("svg", "<svg"), ("tex", "\\documentclass"), ("csv", "node,index"), ("json", '{"format"'),
     ("py", '"""Made by'), ("html", "<!doctype html>")],
)  # fmt: skip
def test_downloads(client: TestClient, kind: str, start: str) -> None:
    answer = client.get(f"/export/{kind}?token=secret&target=w")
    assert answer.status_code == 200 and answer.text.lower().startswith(start.lower())
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    at = quote(json.dumps({"edits": [{"node": "x", "index": [], "value": 3}]}))
    assert client.get(f"/export/{kind}?token=secret&at={at}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/export/exe?token=secret", "/export/svg?token=secret&at=%7B",
     "/export/tex?token=secret&target=q", "/export/svg?token=secret&at=%7B%22step%22%3A-1%7D",
     "/export/svg?token=secret&at=" + "%5B" * 5000],
)  # fmt: skip
def test_downloads_that_cannot_be_made_say_why(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400 and answer.json()["message"]


def test_downloads_need_the_token(client: TestClient) -> None:
    assert client.get("/export/svg").status_code == 403


# ---- the socket ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/socket", "/socket?token=wrong"])
def test_a_socket_without_the_token_is_closed_with_a_reason(client: TestClient, path: str) -> None:
    with client.websocket_connect(path, headers={"Host": "127.0.0.1:8377"}) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 4403 and "token" in closed.value.reason


def test_a_socket_of_another_site_is_closed(client: TestClient) -> None:
    headers = {"Host": "127.0.0.1:8377", "Origin": "http://evil.example"}
    with client.websocket_connect("/socket?token=secret", headers=headers) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 4403


def talk(running: Running) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{running.port}/socket?token=secret", max_size=None)


def until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read messages up to the first that is wanted."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        message = json.loads(socket.recv(timeout=20))
        if wanted(message):
            return message
    raise AssertionError("the message did not come")


def ask(socket: ClientConnection, number: int, do: str, **arguments: Any) -> dict[str, Any]:
    socket.send(json.dumps({"id": number, "do": do, **arguments}))
    return until(socket, lambda message: message.get("id") == number)


def pushed(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message.get("push") == name


def test_hello_comes_first_and_requests_are_answered(running: Running) -> None:
    with talk(running) as socket:
        hello = json.loads(socket.recv(timeout=10))
        assert hello["push"] == "hello"
        assert hello["ok"]["state"]["subject"]["name"] == "one-weight"
        assert {"examples", "data", "limits", "config"} <= set(hello["ok"]["catalogue"])
        assert ask(socket, 1, "explain", target="w")["ok"]["value"] == -2.0
        assert "error" in ask(socket, 2, "explain", target="nothing")
        assert ask(socket, 3, "state")["ok"]["session"] == hello["ok"]["state"]["session"]


@pytest.mark.parametrize(
    "message",
    ["", "no json", "3", "[]", '{"id": 1}', '{"do": "state"}', '{"id": [1], "do": "state"}',
     "[" * 100_000, '{"id": 1, "do": 5}', '{"id":1,"do":"trace","at":{"step":1e999}}', "\ud83d"],
)  # fmt: skip
def test_malformed_messages_are_answered_and_the_socket_lives(
    running: Running, message: str
) -> None:
    with talk(running) as socket:
        socket.send(message.encode("utf-8", "replace").decode())
        assert until(socket, lambda each: "error" in each)["error"]["message"].endswith(".")
        assert "ok" in ask(socket, 9, "state")


def test_binary_messages_are_refused(running: Running) -> None:
    with talk(running) as socket:
        socket.send(b"\x00\x01")
        assert "error" in until(socket, lambda each: "error" in each)
        assert "ok" in ask(socket, 9, "state")


def test_an_oversized_message_closes_the_socket_and_nothing_else(running: Running) -> None:
    with talk(running) as socket:
        socket.send(json.dumps({"id": 1, "do": "state", "more": "x" * (2 << 20)}))
        with pytest.raises(ConnectionClosed) as closed:
            until(socket, lambda each: "id" in each)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    with talk(running) as socket:
        assert "ok" in ask(socket, 1, "state")


def test_too_many_requests_at_once_are_refused_one_by_one(running: Running) -> None:
    with talk(running) as socket:
        for number in range(200):
            socket.send(json.dumps({"id": number, "do": "check", "samples": 50}))
        answers: dict[int, dict[str, Any]] = {}
        while len(answers) < 200:
            message = json.loads(socket.recv(timeout=30))
            if "id" in message:
                answers[message["id"]] = message
        assert any("error" in each for each in answers.values())
        assert any("ok" in each for each in answers.values())


def test_a_second_page_sees_the_same(running: Running) -> None:
    with talk(running) as first, talk(running) as second:
        what = {"kind": "formula", "text": "a*b", "at": {"a": 2, "b": 3}}
        assert "ok" in ask(first, 1, "open", what=what)
        state = until(
            second, lambda m: m.get("push") == "state" and m["ok"]["subject"]["kind"] == "formula"
        )
        assert state["ok"]["subject"]["at"] == {"a": 2.0, "b": 3.0}
        assert ask(second, 1, "explain", target="a")["ok"]["value"] == 3.0


def test_no_step_is_lost_on_any_page_and_a_reconnect_shows_the_truth(running: Running) -> None:
    config = {"data": "moons", "layers": [4]}
    with talk(running) as first, talk(running) as second:
        ask(first, 1, "open", what={"kind": "live", "config": config})
        first.send(json.dumps({"id": 2, "do": "train", "action": "start", "until": 300}))
        losses: dict[str, list[float]] = {"first": [], "second": []}
        frames = 0
        for name, socket in (("first", first), ("second", second)):
            while len(losses[name]) < 300:
                message = json.loads(socket.recv(timeout=20))
                if message.get("push") == "scalars":
                    assert message["ok"]["from"] == len(losses[name])
                    losses[name] += message["ok"]["loss"]
                frames += message.get("push") == "frame"
        assert losses["first"] == losses["second"] and frames > 0
    with talk(running) as again:  # both pages were gone
        hello = json.loads(again.recv(timeout=10))
        assert hello["ok"]["scalars"]["loss"] == losses["first"]
        assert hello["ok"]["state"]["training"]["step"] == 300
        # The frame of the last step may still be in the making when its numbers are here already.
        frame = until(again, lambda each: pushed("frame")(each) and each["ok"]["step"] == 300)
        assert frame["ok"]["prediction"]["kind"] == "boundary"


def test_training_goes_on_while_nobody_looks_and_the_server_answers(running: Running) -> None:
    config = {"data": "digits", "layers": [64, 64]}
    with talk(running) as socket:
        ask(socket, 1, "open", what={"kind": "live", "config": config})
        ask(socket, 2, "train", action="start")
        took = []
        for number in range(10, 20):
            begun = time.perf_counter()
            ask(socket, number, "state")
            took.append(time.perf_counter() - begun)
        assert sorted(took)[5] < 2.0  # most of them: tests share their machine
    time.sleep(0.1)
    with talk(running) as socket:
        assert ask(socket, 1, "train", action="pause")["ok"]["training"]["step"] > 0


def test_a_defect_is_said_and_the_server_lives(
    running: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(request: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(running.session, "handle", broken)
    with talk(running) as socket:
        answer = ask(socket, 1, "state")
        assert "defect" in answer["error"]["message"]
        monkeypatch.undo()
        assert "ok" in ask(socket, 2, "state")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_port_in_use_is_said(running: Running) -> None:
    with pytest.raises(UsageError, match="in use"):
        open_socket(running.port)


def test_it_listens_on_this_machine_only(running: Running) -> None:
    assert running._socket.getsockname()[0] == "127.0.0.1"

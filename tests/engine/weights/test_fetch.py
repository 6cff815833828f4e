"""Files are found, or fetched over connections that break, and never taken for what they are not."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import WeightsError
from engine.weights.fetch import checkpoints_folder, hash_in_name, sha256_of
from engine.weights.sources import locate
from tests.engine.weights.file_server import Site, serve

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAMED = f"tsn_r50_kinetics400-rgb_20220906-{SHA256[:8]}.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    return checkpoints_folder()


def leftovers(cache: Path) -> list[str]:
    """What lies in the cache beside finished files and their stamps."""
    return [entry.name for entry in cache.iterdir() if entry.name.endswith((".part", ".lock"))]


# --- paths ------------------------------------------------------------------------------------------------------------


def test_a_path_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(CONTENT)
    assert locate(str(file)) == file


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "model_best.pth").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=r"modelbest\.pth does not exist; did you mean .*/model_best\.pth\?"):
        locate(str(tmp_path / "modelbest.pth"))
    with pytest.raises(WeightsError, match="nor does its folder"):
        locate(str(tmp_path / "nowhere" / "model.pth"))


def test_a_run_folder_is_its_best_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(WeightsError, match="a folder without checkpoints"):
        locate(str(run))
    (run / "recipe.toml").write_text("")
    with pytest.raises(WeightsError, match="has not saved a checkpoint yet"):
        locate(str(run))
    (run / "checkpoints" / "last.pt").write_bytes(CONTENT)
    assert locate(str(run)).name == "last.pt"
    (run / "checkpoints" / "best.pt").write_bytes(CONTENT)
    assert locate(str(run)).name == "best.pt"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>Sign in</html>", "is a web page"),
        (b"<html><head></head></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"),
    ],
    ids=["empty", "page", "plain page", "lfs"],
)
def test_something_else_under_a_checkpoints_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        locate(str(file))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["s3://bucket/model.pth", "hf://x/y", "http://", "https:///x.pth", "http://h:x/a.pth"]
)
def test_addresses_that_lead_nowhere(source: str) -> None:
    with pytest.raises(WeightsError):
        locate(source)


def test_an_address_without_a_file_name() -> None:
    with pytest.raises(WeightsError, match="names no file"):
        locate("http://127.0.0.1:9/folder/")


def test_the_hash_in_a_name() -> None:
    assert hash_in_name("resnet50-0676ba61.pth") == "0676ba61"
    assert hash_in_name("tsn_r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth") == "cd10898e"
    assert hash_in_name(f"x-{'ab' * 32}.pth.tar") == "ab" * 32
    assert hash_in_name("tsn-20220906.pth") == ""  # a date
    assert hash_in_name("model_20220906.pth") == hash_in_name("best.pth") == hash_in_name("x-0676ba6.pth") == ""


# --- downloads that go well -------------------------------------------------------------------------------------------


def test_a_download_lands_in_torchs_cache_and_is_not_repeated(cache: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with serve(Site(CONTENT)) as site:
        path = locate(f"{site.address}/zoo/{NAMED}?download=1", lambda here, total: told.append((here, total)))
        assert locate(f"{site.address}/elsewhere/{NAMED}") == path == cache / NAMED
    assert len(site.asked) == 1
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert leftovers(cache) == []


def test_two_dropped_connections_are_continued(cache: Path) -> None:
    with serve(Site(CONTENT, cuts=[100_000, 50_000])) as site:
        path = locate(f"{site.address}/{NAMED}")
    assert path.read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_starts_anew() -> None:
    with serve(Site(CONTENT, cuts=[100_000, 200_000], ranges=False)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
        assert locate(f"{site.address}/plain.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_file_that_changes_meanwhile_is_started_anew(honours_if_range: bool) -> None:
    changed = CONTENT[::-1]
    with serve(Site(CONTENT, cuts=[100_000], then=changed, honours_if_range=honours_if_range)) as site:
        assert locate(f"{site.address}/plain.pth").read_bytes() == changed
    assert site.asked[1][1] == "bytes=100000-"


def test_a_new_version_is_sent_whole_by_a_server_that_is_asked_well() -> None:
    with serve(Site(CONTENT, cuts=[100_000], then=CONTENT[::-1])) as site:
        locate(f"{site.address}/plain.pth")
    assert len(site.asked) == 2  # with If-Range, no third request


@pytest.mark.parametrize("changed", [CONTENT[:50_000], CONTENT[::-1] + b"longer"], ids=["shorter", "longer"])
def test_a_file_that_changes_its_length_is_started_anew(changed: bytes) -> None:
    with serve(Site(CONTENT, cuts=[100_000], then=changed, etag=False)) as site:
        assert locate(f"{site.address}/plain.pth").read_bytes() == changed


def test_a_server_that_does_not_say_the_length() -> None:
    told: list[tuple[int, int | None]] = []
    with serve(Site(CONTENT, length=False)) as site:
        assert locate(f"{site.address}/x.pth", lambda *at: told.append(at)).read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), None)


def test_a_later_call_goes_on_where_an_earlier_one_stopped(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAMED}.part").write_bytes(CONTENT[:120_000])
    with serve(Site(CONTENT)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
    assert site.asked == [(f"/{NAMED}", "bytes=120000-")]


def test_a_part_that_is_whole_already(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAMED}.part").write_bytes(CONTENT)
    with serve(Site(CONTENT)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT


@pytest.mark.parametrize("length", [120_000, 300_000, 400_000])
def test_a_part_of_another_file_is_thrown_away(cache: Path, length: int) -> None:
    stale = b"y" * length
    cache.mkdir(parents=True)
    (cache / f"{NAMED}.part").write_bytes(stale)
    (cache / "plain.pth.part").write_bytes(stale)
    with serve(Site(CONTENT)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
        assert locate(f"{site.address}/plain.pth").read_bytes() == CONTENT
    assert site.asked[-1] == ("/plain.pth", "")  # no digits in the name would tell: never continued
    assert leftovers(cache) == []


# --- what the cache may be trusted with -------------------------------------------------------------------------------


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAMED).write_bytes(CONTENT[:1000])
    with serve(Site(CONTENT)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
        (cache / NAMED).write_bytes(b"damaged later")
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_a_right_file_put_there_by_hand_needs_no_server(cache: Path) -> None:
    cache.mkdir(parents=True)
    for name in (NAMED, "plain.pth"):
        (cache / name).write_bytes(CONTENT)
        assert locate(f"http://127.0.0.1:9/{name}") == cache / name


def test_files_of_one_name_from_two_places_are_not_mixed_up() -> None:
    with serve(Site(CONTENT)) as one, serve(Site(CONTENT[::-1])) as two:
        assert locate(f"{one.address}/model.pth").read_bytes() == CONTENT
        assert locate(f"{two.address}/model.pth").read_bytes() == CONTENT[::-1]
        assert locate(f"{two.address}/model.pth").read_bytes() == CONTENT[::-1]
    assert len(two.asked) == 1


# --- downloads that fail ----------------------------------------------------------------------------------------------


def fails(address: str) -> str:
    with pytest.raises(WeightsError) as caught:
        locate(address)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_wrong_bytes_are_removed_and_both_hashes_named(cache: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    with serve(Site(wrong)) as site:
        message = fails(f"{site.address}/{NAMED}")
    assert SHA256[:8] in message and hashlib.sha256(wrong).hexdigest()[:8] in message
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("status", "words"), [(404, "does not exist"), (403, "refused"), (418, "HTTP 418")])
def test_what_the_server_refuses(cache: Path, status: int, words: str) -> None:
    with serve(Site(b"no", status=status)) as site:
        message = fails(f"{site.address}/{NAMED}")
    assert words in message and f"{site.address}/{NAMED}" in message
    assert len(site.asked) == 1  # asking again would not help
    assert list(cache.iterdir()) == []


def test_a_web_page_instead_of_a_file(cache: Path) -> None:
    page = b"<!DOCTYPE html><title>Virus scan warning</title>"
    with serve(Site(page)) as site:
        for name in (NAMED, "plain.pth"):
            assert "is a web page" in fails(f"{site.address}/{name}")
    assert list(cache.iterdir()) == []


def test_without_a_network_the_message_says_where_to_put_the_file(cache: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/{NAMED}", f"http://no-such-host.invalid/{NAMED}"):
        message = fails(address)
        assert address in message and str(cache / NAMED) in message
    assert list(cache.iterdir()) == []


def test_without_a_network_a_damaged_file_is_named(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAMED).write_bytes(b"damaged")
    message = fails(f"http://127.0.0.1:9/{NAMED}")
    assert hashlib.sha256(b"damaged").hexdigest()[:8] in message
    assert (cache / NAMED).read_bytes() == b"damaged"


def test_a_server_that_always_breaks_off_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.weights.fetch._PAUSES", (0.0, 0.0))
    with serve(Site(CONTENT, cuts=[100_000] + [0] * 20)) as site:
        message = fails(f"{site.address}/{NAMED}")
        assert "stopped 3 times in a row at 0.1 MB of 0.3 MB" in message
        assert (cache / f"{NAMED}.part").stat().st_size == 100_000  # the next call goes on from here
        site.cuts.clear()
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
    with serve(Site(CONTENT, status=503)) as site:
        assert "HTTP 503" in fails(f"{site.address}/plain.pth")
    assert leftovers(cache) == []


def test_a_disk_that_is_too_small(cache: Path) -> None:
    with serve(Site(CONTENT, claims_length=10**15)) as site:
        message = fails(f"{site.address}/{NAMED}")
    assert "needs 1,000,000,000.0 MB more" in message and "TORCH_HOME" in message
    assert leftovers(cache) == []


def test_a_write_that_fails_keeps_what_is_there(cache: Path) -> None:
    resource = pytest.importorskip("resource")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(Site(CONTENT)) as site:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
            message = fails(f"{site.address}/{NAMED}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
        assert str(cache) in message and "File too large" in message
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    assert "TORCH_HOME" in fails(f"http://127.0.0.1:9/{NAMED}")


# --- several processes ------------------------------------------------------------------------------------------------

FETCHER = "import sys; from engine.weights.sources import locate; print(locate(sys.argv[1]))"


def fetch_in_a_process(address: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FETCHER, address], stdout=subprocess.PIPE, text=True, env=os.environ)


def test_several_processes_at_once_download_once(cache: Path) -> None:
    go = threading.Event()
    with serve(Site(CONTENT, hold=go)) as site:
        processes = [fetch_in_a_process(f"{site.address}/{NAMED}") for _ in range(3)]
        while not site.asked:
            assert all(process.poll() is None for process in processes)
        threading.Timer(0.5, go.set).start()  # so that the others are waiting by then
        answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == [str(cache / NAMED)] * 3
    assert len(site.asked) == 1
    assert leftovers(cache) == []


def test_a_process_that_was_killed_leaves_no_lock(cache: Path) -> None:
    never = threading.Event()
    with serve(Site(CONTENT, hold=never)) as site:
        process = fetch_in_a_process(f"{site.address}/{NAMED}")
        while not site.asked:
            assert process.poll() is None
        process.kill()
        process.communicate()
        site.hold = None
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
        never.set()
    assert leftovers(cache) == []


def test_it_needs_no_torch() -> None:
    code = "import sys, engine.weights.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_a_file_the_size_of_a_resnet50(cache: Path) -> None:
    content = random.Random(1).randbytes(97_000_000)
    name = f"tsn_r50-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with serve(Site(content, cuts=[40_000_000, 30_000_000])) as site:
        path = locate(f"{site.address}/{name}")
    assert sha256_of(path).startswith(hash_in_name(name))
    assert len(site.asked) == 3

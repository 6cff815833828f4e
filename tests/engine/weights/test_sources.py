"""Whatever a recipe may name leads to the file that it means: runs, mirrors, the Hugging Face Hub."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import WeightsError
from engine.weights.fetch import checkpoints_folder, fetched_from_mirror
from engine.weights.hub import HubSource, fetch_file, hub_source
from engine.weights.sources import locate
from tests.engine.weights.file_server import Site, serve

CONTENT = random.Random(0).randbytes(30_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAMED = f"tsn-{SHA256[:8]}.pth"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return checkpoints_folder()


def refused(source: str, mirror: tuple[str, ...] = ()) -> str:
    with pytest.raises(WeightsError) as caught:
        locate(source, mirror=mirror)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- a run of ours ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_a_run_by_its_name(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    (run / "checkpoints").mkdir(parents=True)
    assert "has no checkpoint best; it has not saved any yet" in refused(f"{run}:best")
    for name in ("best", "last", "epoch-005"):
        (run / "checkpoints" / f"{name}.pt").write_bytes(CONTENT)
        assert locate(f"{run}:{name}") == run / "checkpoints" / f"{name}.pt"
    assert f"{run}:epoch-007: the run has no checkpoint epoch-007; there is best, epoch-005, last." in refused(
        f"{run}:epoch-007"
    )
    assert "is not the folder of a run" in refused(f"{tmp_path}:best")
    assert "does not exist" in refused(f"{run}:newest")


# --- mirrors ----------------------------------------------------------------------------------------------------------


def test_a_mirror_takes_the_place_of_the_server(cache: Path) -> None:
    with serve(Site(files={f"/openmmlab/v1.0/{NAMED}": CONTENT})) as site:
        path = locate(f"{NOWHERE}/v1.0/{NAMED}", mirror=(f"{site.address}/openmmlab",))
    assert path == cache / NAMED and path.read_bytes() == CONTENT
    assert fetched_from_mirror(path) == f"{site.address}/openmmlab/v1.0/{NAMED}"
    assert locate(f"{NOWHERE}/v1.0/{NAMED}") == path  # and the file is the original's from then on


def test_a_mirror_for_some_addresses_only() -> None:
    with serve(Site(CONTENT)) as mirror, serve(Site(CONTENT)) as own:
        rules = (f"{own.address}/zoo -> {mirror.address}/a/", "https://huggingface.co -> http://unused.invalid")
        locate(f"{own.address}/zoo/x.pth", mirror=rules)
        locate(f"{own.address}/other/y.pth", mirror=rules)
    assert [path for path, _ in mirror.asked] == ["/a/x.pth"]
    assert [path for path, _ in own.asked] == ["/other/y.pth"]


def test_what_a_mirror_does_not_have_comes_from_the_server_itself(cache: Path) -> None:
    with serve(Site(files={})) as empty, serve(Site(CONTENT)) as own:
        path = locate(f"{own.address}/{NAMED}", mirror=(NOWHERE, empty.address))
    assert fetched_from_mirror(path) == ""
    assert len(empty.asked) == len(own.asked) == 1


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", b"<!DOCTYPE html><title>Sign in</title>"])
def test_a_mirror_with_another_file_is_not_believed(content: bytes) -> None:
    with serve(Site(content)) as mirror, serve(Site(CONTENT)) as own:
        assert locate(f"{own.address}/{NAMED}", mirror=(mirror.address,)).read_bytes() == CONTENT
    assert mirror.asked and own.asked


def test_where_neither_gives_the_file_both_are_named(cache: Path) -> None:
    with serve(Site(files={})) as mirror:
        message = refused(f"{NOWHERE}/{NAMED}", (mirror.address,))
    assert message.startswith(f"{NOWHERE}/{NAMED} cannot be reached")
    assert f"save it here as {cache / NAMED}" in message
    assert f"(Its mirror was tried first: {mirror.address}/{NAMED} does not exist (HTTP 404)" in message


def test_a_folder_is_a_mirror_too(tmp_path: Path, cache: Path) -> None:
    nas = tmp_path / "nas"
    (nas / "v1.0").mkdir(parents=True)
    (nas / NAMED).write_bytes(CONTENT)
    (nas / "v1.0" / "same.pth").write_bytes(CONTENT)
    assert locate(f"{NOWHERE}/v1.0/{NAMED}", mirror=(str(nas),)) == nas / NAMED
    assert locate(f"{NOWHERE}/v1.0/same.pth", mirror=(str(nas),)) == nas / "v1.0" / "same.pth"
    assert not cache.exists()
    (nas / NAMED).write_bytes(CONTENT[:-1])
    assert "remove it or put the right file there" in refused(f"{NOWHERE}/v1.0/{NAMED}", (str(nas),))


# --- a hash in the address --------------------------------------------------------------------------------------------


def test_an_address_may_say_the_sha256(cache: Path) -> None:
    with serve(Site(CONTENT)) as site:
        address = f"{site.address}/SLOW_8x8_R50.pyth"
        assert locate(f"{address}#sha256={SHA256}").read_bytes() == CONTENT
        assert locate(f"{address}#sha256={SHA256}").read_bytes() == CONTENT
        assert site.asked == [("/SLOW_8x8_R50.pyth", "")]
        (cache / "SLOW_8x8_R50.pyth").unlink()
        message = refused(f"{address}#sha256={'0' * 64}")
    assert SHA256 in message and "0" * 64 in message
    assert [entry.name for entry in cache.iterdir() if not entry.name.endswith(".stamp")] == []


# --- a call that is broken off ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [False, True])
def test_a_later_call_continues_a_name_without_digits_if_the_server_still_has_that_version(
    cache: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    monkeypatch.setattr("engine.weights.fetch._PAUSES", (0.0,))
    with serve(Site(CONTENT, cuts=[10_000, 0, 0])) as site:
        refused(f"{site.address}/plain.pyth")
        assert (cache / "plain.pyth.part").stat().st_size == 10_000
        site.content = now = CONTENT[::-1] if changed else CONTENT
        assert locate(f"{site.address}/plain.pyth").read_bytes() == now
    assert site.asked[-1] == ("/plain.pyth", "bytes=10000-")
    assert sorted(entry.name for entry in cache.iterdir()) == [".plain.pyth.stamp", "plain.pyth"]


# --- the Hugging Face Hub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "repo", "revision", "file"),
    [
        ("hf://org/repo", "org/repo", "main", ""),
        ("hf://org/repo/", "org/repo", "main", ""),
        ("hf://org/repo.v2/a/b.safetensors", "org/repo.v2", "main", "a/b.safetensors"),
        ("hf://org/repo@v1.0", "org/repo", "v1.0", ""),
        ("hf://org/repo@refs/pr/4/model.safetensors", "org/repo", "refs/pr/4", "model.safetensors"),
        ("https://huggingface.co/org/repo", "org/repo", "main", ""),
        ("https://huggingface.co/org/repo/tree/dev", "org/repo", "dev", ""),
        ("https://huggingface.co/org/repo/tree/refs%2Fpr%2F4", "org/repo", "refs/pr/4", ""),
        ("https://huggingface.co/org/repo/blob/main/a/m.pth", "org/repo", "main", "a/m.pth"),
        ("https://huggingface.co/org/repo/resolve/main/m.pth?download=true", "org/repo", "main", "m.pth"),
    ],
)
def test_what_names_a_model_on_the_hub(source: str, repo: str, revision: str, file: str) -> None:
    assert hub_source(source) == HubSource(repo, revision, file)


def test_what_does_not(tmp_path: Path) -> None:
    for source in ("model.pth", "https://a.example/org/repo", "https://huggingface.co/datasets/a/b/resolve/main/c.pth"):
        assert hub_source(source) is None
    for source in ("hf://", "hf://repo", "hf://org/"):
        assert "names no model: write hf://ORG/REPO" in refused(source)
    for source in ("hf://org/repo/../../x", "hf://org/repo@..", "hf://org/repo/a%2f..%2f..%2fb"):
        assert 'may not hold ".."' in refused(source)


def on_the_hub(**files: bytes) -> dict[str, bytes]:
    return {f"/org/repo/resolve/main/{name.replace('__', '.')}": content for name, content in files.items()}


def test_a_model_on_the_hub(cache: Path) -> None:
    """By way of a mirror: https://huggingface.co is not to be asked by a test."""
    files = on_the_hub(model__safetensors=CONTENT, config__json=b'{"model_type": "vivit"}')
    with serve(Site(files=files)) as site:
        mirror = (f"https://huggingface.co -> {site.address}",)
        path = locate("hf://org/repo", mirror=mirror)
        assert path == cache / "hf" / "org" / "repo" / "main" / "model.safetensors"
        assert path.read_bytes() == CONTENT
        assert locate("hf://org/repo/model.safetensors", mirror=mirror) == path
        config = fetch_file(HubSource("org/repo"), "config.json", mirror=mirror)
        assert config == path.with_name("config.json") and json.loads(config.read_text())["model_type"] == "vivit"
    assert len(site.asked) == 2
    assert locate("hf://org/repo") == path  # without a network


def test_an_older_model_has_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Site(files=on_the_hub(pytorch_model__bin=CONTENT))) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        assert locate("hf://org/repo").name == "pytorch_model.bin"
        message = refused("hf://org/other")
    assert "hf://org/other has none of model.safetensors, pytorch_model.bin" in message
    assert f"{site.address}/org/other/tree/main" in message


def test_a_mirror_of_the_hub_behind_a_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub itself cannot be asked which of its files there is."""
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    with serve(Site(files=on_the_hub(pytorch_model__bin=CONTENT))) as site:
        assert locate("hf://org/repo", mirror=(site.address,)).name == "pytorch_model.bin"
        message = refused("hf://org/other", (site.address,))
        assert message.startswith(f"{NOWHERE}/org/other/resolve/main/model.safetensors cannot be reached")
        assert f"{site.address}/org/other/resolve/main/model.safetensors" in message


def test_weights_in_several_files_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    files = {f"/org/repo/resolve/main/{name}": name.encode() for name in names}
    files["/org/repo/resolve/main/model.safetensors.index.json"] = json.dumps(index).encode()
    with serve(Site(files=files)) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        path = locate("hf://org/repo")
        assert path.name == "model.safetensors.index.json"
        assert [path.with_name(name).read_bytes() for name in names] == [name.encode() for name in names]
        for wrong in ({}, {"weight_map": {"a": "../../x"}}, {"weight_map": {}}, [1]):
            files["/org/repo/resolve/v2/model.safetensors.index.json"] = json.dumps(wrong).encode()
            assert "is not an index of weights" in refused("hf://org/repo@v2")
            path_v2 = path.parents[1] / "v2" / path.name
            path_v2.unlink()


def test_the_hub_promises_a_sha256(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr("engine.weights.fetch._PAUSES", (0.0, 0.0, 0.0))
    files = on_the_hub(model__safetensors=CONTENT)
    with (
        serve(Site(files=files, cuts=[10_000])) as store,
        serve(Site(moved_to=store.address, headers={"X-Linked-ETag": f'"{SHA256}"'})) as hub,
    ):
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        assert locate("hf://org/repo").read_bytes() == CONTENT
        assert [asked for _, asked in store.asked] == ["", "bytes=10000-"]
        files.update({path: CONTENT[::-1] for path in files})
        (cache / "hf" / "org" / "repo" / "main" / "model.safetensors").unlink()
        assert f"but {SHA256}… is expected" in refused("hf://org/repo")


def test_a_token_is_for_the_hub_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the server that the hub sends us on to nor a mirror gets it."""
    files = on_the_hub(model__safetensors=CONTENT)
    with (
        serve(Site(files=files)) as store,
        serve(Site(moved_to=store.address)) as hub,
        serve(Site(files={})) as mirror,
    ):
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        locate("hf://org/repo", mirror=(mirror.address,))
        assert hub.authorized_by == ["Bearer hf_secret"]
        assert store.authorized_by == mirror.authorized_by == [""]
        monkeypatch.delenv("HF_TOKEN")
        (tmp_path / "huggingface").mkdir()
        (tmp_path / "huggingface" / "token").write_text("hf_saved\n")
        refused("hf://org/repo@v2")
        assert set(hub.authorized_by[1:]) == {"Bearer hf_saved"}


def test_a_gated_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Site(status=401)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        message = refused("hf://org/repo")
    assert "set HF_TOKEN" in message and "hf://org/repo" in message


def test_what_hugging_faces_own_library_has_fetched_is_taken(tmp_path: Path) -> None:
    model = tmp_path / "huggingface" / "hub" / "models--org--repo"
    snapshot = model / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("c" * 40)
    (snapshot / "model.safetensors").write_bytes(CONTENT)
    assert locate("hf://org/repo") == snapshot / "model.safetensors"
    assert locate(f"hf://org/repo@{'c' * 40}/model.safetensors") == snapshot / "model.safetensors"


# --- a file system without locks --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such file systems")
def test_a_cache_where_nothing_can_be_locked(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on Lustre mounted without flock: the lock is then one of this machine's temporary files."""
    import fcntl

    flock, locked = fcntl.flock, []

    def refuse_in_the_cache(descriptor: int, how: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_relative_to(cache):
            raise OSError(errno.ENOSYS, "Function not implemented")
        flock(descriptor, how)
        locked.append(path)

    if not Path("/proc/self/fd").exists():
        pytest.skip("nothing tells which file a descriptor is of")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(fcntl, "flock", refuse_in_the_cache)
    with serve(Site(CONTENT)) as site:
        assert locate(f"{site.address}/{NAMED}").read_bytes() == CONTENT
    assert [path.parent for path in locked] == [tmp_path / "temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(entry.name for entry in cache.iterdir()) == [f".{NAMED}.stamp", NAMED]


# --- several processes ------------------------------------------------------------------------------------------------


def test_two_processes_fetch_one_model_of_the_hub_once() -> None:
    code = "import sys; from engine.weights.sources import locate; print(locate('hf://org/repo'))"
    with serve(Site(files=on_the_hub(model__safetensors=CONTENT))) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.address}
        processes = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(answers) == 1 and Path(answers.pop()).read_bytes() == CONTENT
    assert len(hub.asked) == 1

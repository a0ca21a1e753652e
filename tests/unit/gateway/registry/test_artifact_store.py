import hashlib
from pathlib import Path

import pytest

from gateway.errors import ArtifactChanged
from gateway.registry.artifact_store import ArtifactStore


def test_a_file_is_named_by_its_content(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    digest = store.save(b"model")
    assert digest == hashlib.sha256(b"model").hexdigest()
    assert (tmp_path / "sha256" / digest[:2] / f"{digest}.onnx").read_bytes() == b"model"
    assert store.load(digest) == b"model"


def test_saving_twice_leaves_the_first_file(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    path = store.path(store.save(b"model"))
    before = path.stat().st_ino
    store.save(b"model")
    assert path.stat().st_ino == before
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize("changed", [b"", b"modem", b"model\n"])
def test_a_changed_file_is_named_at_every_load_and_mended_by_saving(tmp_path: Path, changed):
    store = ArtifactStore(tmp_path)
    digest = store.save(b"model")
    store.load(digest)
    store.path(digest).write_bytes(changed)
    with pytest.raises(ArtifactChanged, match="has changed since it was registered") as caught:
        store.load(digest)
    assert caught.value.where == str(store.path(digest))
    store.save(b"model")
    assert store.load(digest) == b"model"


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    with pytest.raises(ArtifactChanged, match=rf"{'0' * 64}\.onnx: the model file is gone"):
        store.load("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_what_is_not_a_digest_never_becomes_a_path(tmp_path: Path, digest):
    with pytest.raises(ArtifactChanged, match="is not a SHA-256"):
        ArtifactStore(tmp_path).load(digest)

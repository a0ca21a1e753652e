import gc

import pytest

from gateway.errors import ArtifactChanged
from gateway.inference.model_pool import ModelPool
from tests.serving_project import ServingProject


@pytest.fixture
def project(tmp_path):
    made = ServingProject(tmp_path)
    yield made
    made.close()


def test_a_model_in_use_is_loaded_once_and_let_go_with_its_last_user(project):
    record, reads = project.register(), []
    pool = ModelPool(lambda digest: (reads.append(digest), project.registry.artifacts.load(digest))[1])
    first = pool.load(record)
    assert pool.load(record) is first
    assert reads == [record.artifact_digest]
    del first
    gc.collect()
    pool.load(record)
    assert len(reads) == 2


def test_an_altered_file_is_not_loaded(project):
    record = project.register()
    path = project.registry.artifacts.path(record.artifact_digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtifactChanged):
        ModelPool(project.registry.artifacts.load).load(record)

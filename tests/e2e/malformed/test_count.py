"""How many malformed inputs there are, and that no two are the same."""

from tests.e2e.malformed.command_cases import COMMANDS
from tests.e2e.malformed.definition_cases import FEATURES, MODELS, TRAINING
from tests.e2e.malformed.file_cases import FILES
from tests.e2e.malformed.request_cases import REQUESTS
from tests.e2e.malformed.spine_cases import SPINES
from tests.e2e.malformed.test_processes import COMMANDS as TYPED_COMMANDS
from tests.e2e.malformed.test_processes import FILES as TYPED_FILES
from tests.e2e.malformed.test_processes import MISTAKES
from tests.e2e.malformed.test_processes import SPINES as TYPED_SPINES

DEFINITIONS = [*FEATURES, *MODELS, *TRAINING]


def test_there_are_two_hundred_and_more() -> None:
    assert len(DEFINITIONS) >= 70
    assert len(FILES) >= 50
    assert len(SPINES) >= 30
    assert len(REQUESTS) >= 60
    assert len([*DEFINITIONS, *FILES, *SPINES, *REQUESTS]) >= 200
    assert len([*MISTAKES, *TYPED_FILES, *TYPED_SPINES, *TYPED_COMMANDS]) >= 20


def test_each_is_another() -> None:
    kinds = (DEFINITIONS, FILES, SPINES, REQUESTS, COMMANDS)
    for names in ([case.name for case in kind] for kind in kinds):
        assert len(set(names)) == len(names)
    assert len({mistake.text for mistake in DEFINITIONS}) == len(DEFINITIONS)
    sent = {(bad.method, bad.path, bad.content, tuple(bad.headers.items())) for bad in REQUESTS}
    assert len(sent) == len(REQUESTS)
    typed = {(bad.arguments, *bad.files.items(), *bad.environment.items()) for bad in COMMANDS}
    assert len(typed) == len(COMMANDS)

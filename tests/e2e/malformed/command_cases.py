"""Settings and commands as a new user would mistype them."""

# ruff: noqa: E501 - a table is read a case a line

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.e2e.malformed.shop import BODY, HEAD, TOML


@dataclass(frozen=True)
class BadCommand:
    """A command on the project, what is wrong with a file or a variable if anything is, and what the error must say."""

    name: str
    arguments: str
    thing: str
    place: str
    mend: str
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def toml(*, more: str = "", section: str = "", before: str = "") -> dict[str, str]:
    """Return settings with lines put before, into a section, or after."""
    text = before + TOML + more
    if section:
        head, _, line = section.partition("\n")
        assert head in TOML
        text = text.replace(f"{head}\n", f"{head}\n{line}\n")
    return {"unskew.toml": text}


_NAMED = '[project]\nname = "shop"\n'
_CLOCK = '\n[clock]\nnow = "fixed:2024-07-01T00:00:00Z"\n'


def only(text: str) -> dict[str, str]:
    """Return settings of a name, a clock and this."""
    return {"unskew.toml": _NAMED + text + _CLOCK}


SETTINGS = [
    BadCommand("a section misspelt", "plan", "[onlin]", "unskew.toml", "did you mean 'online'?", toml(more='\n[onlin]\nurl = "x"\n')),
    BadCommand("a key misspelt in settings", "plan", "[online] ulr", "unskew.toml", "did you mean 'url'?", toml(more='\n[online]\nulr = "x"\n')),
    BadCommand("a key in the wrong section", "plan", "[project] port", "unskew.toml", "use one of", toml(section="[project]\nport = 1")),
    BadCommand("a port in words", "plan", "[gateway] port = 'eighty'", "unskew.toml", "TCP port", only('[gateway]\nport = "eighty"\n')),
    BadCommand("a port that does not exist", "plan", "[gateway] port = 80000", "unskew.toml", "TCP port", only("[gateway]\nport = 80000\n")),
    BadCommand("a port with a fraction", "plan", "[gateway] port = 8000.5", "unskew.toml", "TCP port", only("[gateway]\nport = 8000.5\n")),
    BadCommand("a limit of true", "plan", "[gateway] batch_limit_rows = True", "unskew.toml", "most rows", only("[gateway]\nbatch_limit_rows = true\n")),
    BadCommand("a policy that is not there", "plan", "[gateway] on_store_error = 'ignore'", "unskew.toml", "`degrade`", only('[gateway]\non_store_error = "ignore"\n')),
    BadCommand("no equals sign", "plan", "not TOML", "unskew.toml", "https://toml.io", only("[gateway]\nport 8000\n")),
    BadCommand("text without quotes", "plan", "not TOML", "unskew.toml", "https://toml.io", only("[online]\nurl = redis://127.0.0.1:6379/0\n")),
    BadCommand("a section twice", "plan", "not TOML", "unskew.toml", "https://toml.io", toml(more="\n[gateway]\nport = 1\n")),
    BadCommand("a section as a value", "plan", "online = 'lmdb:x' is not a section", "unskew.toml", "write [online]", toml(before='online = "lmdb:x"\n')),
    BadCommand("a project without a name", "plan", "[project] name is missing", "unskew.toml", "add [project] name", {"unskew.toml": "[gateway]\nport = 0\n"}),
    BadCommand("an empty name", "plan", "[project] name", "unskew.toml", "the project's name", {"unskew.toml": '[project]\nname = ""\n'}),
    BadCommand("a clock in words", "plan", "'yesterday'", "unskew.toml", '"system"', {"unskew.toml": _NAMED + '[clock]\nnow = "yesterday"\n'}),
    BadCommand("a clock without a zone", "plan", "2024-07-01T00:00:00", "unskew.toml", "Z", {"unskew.toml": _NAMED + '[clock]\nnow = "fixed:2024-07-01T00:00:00"\n'}),
    BadCommand("a clock fixed to no instant", "plan", "'noon'", "unskew.toml", "2017-12-31T00:00:00Z", {"unskew.toml": _NAMED + '[clock]\nnow = "fixed:noon"\n'}),
    BadCommand("a variable misspelt", "plan", "UNSKEW_ONLINE__ULR", "environment", "did you mean 'url'?", environment={"UNSKEW_ONLINE__ULR": "x"}),
    BadCommand("a variable of no section", "plan", "UNSKEW_ONLIN__URL", "environment", "did you mean 'online'?", environment={"UNSKEW_ONLIN__URL": "x"}),
    BadCommand("a variable of a whole section", "plan", "UNSKEW_ONLINE", "environment", "UNSKEW_ONLINE__URL", environment={"UNSKEW_ONLINE": "x"}),
    BadCommand("a variable of another type", "plan", "[gateway] port = 'x'", "UNSKEW_GATEWAY__PORT", "TCP port", environment={"UNSKEW_GATEWAY__PORT": "x"}),
    BadCommand("a store that does not exist", "materialise", "'mongodb'", "online.url", "redis://", only('[online]\nurl = "mongodb://127.0.0.1"\n')),
    BadCommand("a Redis URL of one slash", "materialise", "names no host", "online.url", "redis://", only('[online]\nurl = "redis:/127.0.0.1"\n')),
    BadCommand("a Redis port in words", "materialise", "the port", "online.url", "redis://", only('[online]\nurl = "redis://127.0.0.1:port/0"\n')),
    BadCommand("a Redis that is not there", "materialise", "127.0.0.1:1", "redis://127.0.0.1:1/0", "check that the server runs", only('[online]\nurl = "redis://127.0.0.1:1/0"\n')),
    BadCommand("a read from a Redis that is not there", "features strict_inputs --key customer_id=1 --input items=1", "127.0.0.1:1", "redis://127.0.0.1:1/0", "check that the server runs", only('[online]\nurl = "redis://127.0.0.1:1/0"\n')),
    BadCommand("a store of memory", "materialise", "memory://", "unskew.toml", "lmdb:", only('[online]\nurl = "memory://"\n')),
    BadCommand("to serve from memory", "serve", "memory://", "unskew.toml", "lmdb:", only('[online]\nurl = "memory://"\n')),
    BadCommand("an LMDB store in a file", "materialise", "features.py", "lmdb:", "folder", only('[online]\nurl = "lmdb:features.py"\n')),
    BadCommand("a registry that does not exist", "models list", "mysql", "", "sqlite:", only('[registry]\nurl = "mysql://127.0.0.1/x"\n')),
    BadCommand("a registry that is no database", "models list", "not a database", "features.py", "doctor", only('[registry]\nurl = "sqlite:features.py"\n')),
    BadCommand("definitions that are not there", "plan", "feature.py", "feature.py", "unskew.toml", {"unskew.toml": '[project]\nname = "shop"\ndefinitions = "feature.py"\n'}),
    BadCommand("models that are not there", "train spend", "no such file", "modells.py", "[project] models", {"unskew.toml": '[project]\nname = "shop"\nmodels = "modells.py"\n'}),
    BadCommand("to listen to the world", "serve", "0.0.0.0", "unskew.toml", "127.0.0.1", only('[gateway]\nhost = "0.0.0.0"\n')),
    BadCommand("to listen to a name", "serve --host example.org", "example.org", "unskew.toml", "127.0.0.1"),
    BadCommand("a port in use", "serve --port {port}", "cannot listen on 127.0.0.1 port {port}", "unskew.toml", "another [gateway] port"),
]  # fmt: skip

LINES = [
    BadCommand("a command misspelt", "aply", "aply", "unskew", "--help"),
    BadCommand("a sub-command misspelt", "models lst", "lst", "unskew models", "--help"),
    BadCommand("an option misspelt", "plan --jsn", "--jsn", "unskew plan", "--help"),
    BadCommand("an argument left out", "train", "MODEL", "unskew train", "--help"),
    BadCommand("a choice that is none", "import --on-bad ignore", "ignore", "unskew import", "--help"),
    BadCommand("a port in words on the line", "serve --port eighty", "'--port'", "unskew serve", "--help"),
    BadCommand("a source misspelt", "import ordrs", "'ordrs'", "unskew import", "did you mean 'orders'?"),
    BadCommand("a model misspelt on the line", "train spent", "'spent'", "models.py", "did you mean 'spend'?"),
    BadCommand("a training set that is not there", "train spend --training-set 00000000", "00000000", ".unskew/training-sets", "training-set list"),
    BadCommand("a digest of three digits", "training-set show 12a", "12a", ".unskew/training-sets", "training-set list"),
    BadCommand("a record that is not there", "training-set show 0123456789abcdef", "0123456789abcdef", ".unskew/training-sets", "training-set list"),
    BadCommand("to rebuild what is not there", "training-set rebuild 0123456789abcdef", "0123456789abcdef", ".unskew/training-sets", "training-set list"),
    BadCommand("to promote what is not there", "promote spent", "spent", "unskew promote", "did you mean"),
    BadCommand("to promote a version that is not there", "promote spend 99", "99", "", "1"),
    BadCommand("to promote a number beyond all", "promote spend 99999999999999999999", "99999999999999999999", "unskew promote", "it has version 1"),
    BadCommand("to promote a word", "promote spend newest", "newest", "", "latest"),
    BadCommand("to promote against the gate", "promote strict --expected-revision 1 --reason again", "rmse", "strict", "override"),
    BadCommand("an override without a reason", "promote strict --override", "reason", "", "--reason"),
    BadCommand("a revision that has passed", "promote spend --expected-revision 7", "not at 7", "model spend", "decide again"),
    BadCommand("to roll back without a reason", "rollback spend", "--reason", "unskew rollback", "--help"),
    BadCommand("to roll back to nothing", "rollback spend --reason why", "no earlier route", "model spend", "promote another"),
    BadCommand("to roll back what is not there", "rollback spent --reason why", "spent", "unskew rollback", ""),
    BadCommand("weights in percent", "challenge spend --weights 90%", "90%", "unskew challenge", ""),
    BadCommand("to challenge itself", "challenge spend 1", "version 1", "model spend", "another version"),
    BadCommand("to withdraw nobody", "withdraw spend", "no challenger", "model spend", "routes show"),
    BadCommand("the route of nobody", "routes show spent", "spent", "unskew routes show", ""),
    BadCommand("the history of nobody", "history spent", "spent", "unskew history", ""),
    BadCommand("a record of no model", "models show spent", "spent", "unskew models show", ""),
    BadCommand("a record of no version", "models show spend@99", "99", "", ""),
    BadCommand("the versions of no model", "models list spent", "spent", "unskew models list", ""),
    BadCommand("a view misspelt", "materialise orderings", "'orderings'", "unskew materialise", "did you mean 'ordering'?"),
    BadCommand("an instant in words on the line", "materialise --as-of tomorrow", "'tomorrow'", "unskew materialise", "2017-12-31"),
    BadCommand("a service misspelt on the line", "features strict_input --key customer_id=1", "'strict_input'", "unskew features", "did you mean 'strict_inputs'?"),
    BadCommand("no key", "features strict_inputs --input items=1", "--key", "unskew features", "--help"),
    BadCommand("a key given twice", "features strict_inputs --key customer_id=1 --key customer_id=2", "--key customer_id is given twice", "unskew features", ""),
    BadCommand("a key without its name", "features strict_inputs --key 1", "'1' is not NAME=VALUE", "unskew features", ""),
    BadCommand("a key misspelt on the line", "features strict_inputs --key costumer_id=1", "customer", "unskew features", "--key customer_id=VALUE"),
    BadCommand("a key in words", "features strict_inputs --key customer_id=one", "'one'", "--key customer_id", "JSON"),
    BadCommand("an input that nobody needs", "features strict_inputs --key customer_id=1 --input item=1", "item", "unskew features", "did you mean 'items'?"),
    BadCommand("an input with a fraction", "features strict_inputs --key customer_id=1 --input items=1.5", "1.5", "--input items", "without point"),
    BadCommand("a prediction that is not logged", "predictions find 0190-ffff", "0190-ffff", "predictions", "identifier"),
    BadCommand("the predictions of no model", "predictions tail spent", "spent", ".unskew/predictions", ""),
    BadCommand("a breaking change", "apply", "strict_inputs", "", "--allow-breaking", {"features.py": (HEAD + BODY).replace('"strict_inputs"', '"other_inputs"')}),
    BadCommand("definitions that are not applied", "import", "differ", "", "unskew apply", {"features.py": HEAD + BODY + 'more = Entity("more", join_key="more_id")\n'}),
    BadCommand("definitions that do not load, to serve", "serve", "never closed", "features.py", "syntax", {"features.py": HEAD + BODY + "more = Entity(\n"}),
    BadCommand("a zero byte in features.py", "apply", "null bytes", "features.py", "syntax", {"features.py": HEAD + "zero = '\0'\n"}),
    BadCommand("an empty features.py", "apply", "defines nothing", "features.py", "Entity", {"features.py": "\n"}),
]  # fmt: skip

COMMANDS = [*SETTINGS, *LINES]

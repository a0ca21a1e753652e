"""Run the contracts and ruff over a tree, in a process of their own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STOREYS = ("unskew", "lifecycle", "gateway", "featurestore")
RULES = (".importlinter", "pyproject.toml", "tests/architecture/contract_types.py")
_VERDICT = re.compile(r"^(?P<name>\S.*?) (?P<verdict>KEPT|BROKEN)\b", re.MULTILINE)


def copy_house(target: Path) -> Path:
    """Copy the four storeys and the rules over them, and nothing else."""
    for storey in STOREYS:
        shutil.copytree(REPOSITORY / storey, target / storey, ignore=shutil.ignore_patterns("__pycache__"))
    for rule in RULES:
        (target / rule).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / rule, target / rule)
    return target


def tracked(*folders: str) -> set[str]:
    """Return the files below some folders that git tracks and that are there."""
    command = ["git", "ls-files", "--", *folders]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
    return {name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()}


def add_module(house: Path, module: str, code: str) -> Path:
    """Write one module, and the packages above it where they are still to be built."""
    path = house / Path(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    for package in path.parents:
        if package == house:
            break
        (package / "__init__.py").touch()
    path.write_text(f'"""A deliberate violation."""\n\n{code}\n')
    return path


def contract_verdicts(house: Path) -> tuple[dict[str, str], str]:
    """Return each contract's verdict by name, and the whole output."""
    output = _run(house, "lint-imports", "--no-cache", "--no-logo")
    verdicts = {match["name"]: match["verdict"] for match in _VERDICT.finditer(output)}
    assert verdicts, output
    return verdicts, output


def ruff_findings(house: Path, *paths: Path) -> str:
    """Return what ruff has to say about some files."""
    return _run(house, "ruff", "check", "--no-cache", "--output-format=concise", *map(str, paths))


def _run(house: Path, program: str, *arguments: str) -> str:
    environment = os.environ | {"COLUMNS": "300", "NO_COLOR": "1", "PYTHONPATH": str(house)}
    finished = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=house,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return finished.stdout + finished.stderr

"""What the documents say is true: the reference pages are the code's, and what a document names exists."""

import re

import pytest

from scripts.reference_docs import DOCUMENTS, due_documents, error_classes
from tests.architecture.linting import REPOSITORY

DOCS = REPOSITORY / "docs"
MARKDOWN = sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])
RECORDS = sorted(DOCS.glob("decisions/[0-9]*.md"))
RECORD_HEADINGS = ["Context", "Decision", "Consequences"]
STATUS = re.compile(r"^- Status: (proposed|accepted|superseded by \d{4})$", re.MULTILINE)
DATE = re.compile(r"^- Date: \d{4}-\d{2}-\d{2}$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_table_has_a_head(path):
    """Rows after a blank line, or without one, would be shown as text with bars in it."""
    tables = re.findall(r"(?:^\|.*\n)+", _without_blocks(path.read_text()), re.MULTILINE)
    assert [table for table in tables if not re.match(r".*\n\|[-:| ]+\|\n", table)] == []


def test_each_decision_record_has_a_number_of_its_own():
    numbers = [path.name[:4] for path in RECORDS]
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_is_well_formed(path):
    text = path.read_text()
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)
    assert text.startswith(f"# {path.name[:4]}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == RECORD_HEADINGS
    assert STATUS.search(text)
    assert DATE.search(text)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_between_documents_lead_somewhere(path):
    text = _without_code(path.read_text())
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_make_target_that_a_document_names_exists(path):
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", path.read_text(), re.MULTILINE))
    assert named - make_targets() == set()


def test_every_make_target_documents_itself():
    text = (REPOSITORY / "Makefile").read_text()
    assert make_targets() == set(re.findall(r"^([a-z][a-z-]*):.*## \w", text, re.MULTILINE))


def test_ci_runs_what_the_readme_says():
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert "make test" in (REPOSITORY / "README.md").read_text()
    assert {"make check", "make test"} <= set(re.findall(r"make \w+", script))


def test_the_glossary_defines_each_term_once():
    entries = re.findall(r"^\*\*(.+?)\*\*$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    terms = [term.strip().casefold() for entry in entries for term in entry.split(",")]
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("page", sorted(DOCUMENTS))
def test_a_reference_page_is_what_the_code_says(page):
    """Every error code, setting, metric and command is listed, as each page is rendered from the code."""
    if page not in due_documents():
        pytest.skip(f"the subject of {page} is not built yet")
    assert (DOCS / page).read_text() == DOCUMENTS[page][1](), "run make docs"


def test_every_error_has_a_code_of_its_own():
    codes = [vars(error)["code"] for error in error_classes()]
    assert sorted(codes) == sorted(set(codes))


def make_targets() -> set[str]:
    """Return the targets declared phony, which is all of them."""
    (line,) = re.findall(r"^\.PHONY: (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    return set(line.split())


def _without_blocks(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)

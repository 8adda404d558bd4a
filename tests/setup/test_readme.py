# SPDX-License-Identifier: Apache-2.0
"""What the documents show and point to is there."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])


def test_the_c_of_the_readme_is_the_example_that_is_built():
    shown = re.findall(r'```c\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    example = (ROOT / 'examples' / 'run.c').read_text()
    assert len(shown) == 1 and shown[0] in example


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(page):
    links = [link.split('#')[0] for link in re.findall(r'\]\(([^)]+)\)', page.read_text()) if '://' not in link and not link.startswith('mailto:')]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_that_a_document_names_exists(page):
    names = re.findall(r'`((?:src|include|tools|tests|examples|fuzz)/[\w./-]+\.[ch]|tools/[\w-]+)`', page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []

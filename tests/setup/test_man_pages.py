# SPDX-License-Identifier: Apache-2.0
"""The manual pages: one for each command, which say what --help says, and which man renders without a complaint."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = ROOT / 'build' / 'man1'
NESTBOX = ROOT / 'build' / 'nestbox'


def output(*words):
    return subprocess.run([NESTBOX, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def commands():
    return re.findall(r'^  ([a-z]+(?: [a-z]+)?)  ', output('help'), re.MULTILINE)


def rendered(page):
    """What a person sees, in lines of 200."""
    result = subprocess.run(['man', '--warnings', '--no-hyphenation', '--no-justification', '-l', str(page)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                            text=True, env=dict(os.environ, MANWIDTH='200', LC_ALL='C.UTF-8', MANROFFOPT='', MANPAGER='cat'))
    assert result.stderr == '', (page, result.stderr)
    return re.sub('.\x08', '', result.stdout)


def test_there_is_a_page_for_each_command_and_no_other():
    assert len(commands()) > 30
    assert {page.name for page in PAGES.iterdir()} == {'nestbox.1'} | {f'nestbox-{name.replace(" ", "-")}.1' for name in commands()}


@pytest.mark.parametrize('name', commands())
def test_a_page_says_what_help_says(name):
    page = ' '.join(rendered(PAGES / f'nestbox-{name.replace(" ", "-")}.1').split())
    told = output('help', *name.split())
    for option in re.findall(r'^  (?:-\w,|   ) (--[a-z-]+)', told, re.MULTILINE):
        assert option in page, option
    example = told.rsplit('Example:\n', 1)[1].strip()
    assert ' '.join(example.split()) in page
    assert told.split('\n\n')[1].rstrip('.') in page  # the summary


def test_the_overview_names_every_command():
    page = rendered(PAGES / 'nestbox.1')
    for name in commands():
        assert f'nestbox-{name.replace(" ", "-")}(1)' in page, name
    assert 'NESTBOX_HOME' in page and '125' in page


def test_the_library_s_page_has_every_call():
    page = ' '.join(rendered(ROOT / 'build' / 'libnestbox.3').split())
    declared = re.findall(r'NB_API [^;(]*?\b(nb_\w+)\(', ''.join(header.read_text() for header in (ROOT / 'include' / 'nestbox').glob('*.h')))
    assert len(declared) > 80
    assert [name for name in declared if f'{name}(' not in page] == []


def test_the_page_of_boxes_names_what_there_is():
    page = ' '.join(rendered(ROOT / 'docs' / 'nestbox.7').split())
    sources = ''.join(path.read_text() for path in (ROOT / 'src').glob('*/*.c'))
    variables = set(re.findall(r'(?:getenv|strv_env_get)\([^"]*"(NESTBOX_[A-Z_]+)"\)', sources)) - {'NESTBOX_URL'}
    assert [name for name in variables if name not in page] == []
    state = (ROOT / 'include' / 'nestbox' / 'state.h').read_text()
    words = re.findall(r'X\(NB_(?:BOX|END)_\w+, \d+, "([a-z]+)"\)', state)
    assert len(words) > 10
    assert [word for word in words if word != 'none' and word not in page] == []

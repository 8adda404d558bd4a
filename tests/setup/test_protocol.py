# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md says what the programs were built from."""
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HEADERS = ('src/wire/messages.h', 'src/wire/limits.h', 'src/wire/frame.h')


def tables(*arguments):
    return subprocess.run([ROOT / 'tools' / 'protocol-tables', *arguments], capture_output=True, text=True)


@pytest.fixture
def tree(tmp_path):
    """A copy of the page and of what it is made from."""
    for name in (*HEADERS, 'docs/protocol.md'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_page_is_current():
    result = tables('--check')
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('header, old, new, then', [
    ('messages.h', 'F(u8, step, 0) F(i32, error, 0)', 'F(u8, step, 0) F(i64, error, 0)', "field 'error' has the unknown kind 'i64'"),
    ('messages.h', '10, "RESIZE"', '19, "RESIZE"', 'run tools/protocol-tables'),
    ('messages.h', 'F(u32, exec_id, 0) F(u32, pid, 0)', 'F(u32, pid, 0) F(u32, exec_id, 0)', 'run tools/protocol-tables'),
    ('messages.h', '"GOODBYE", TO_HOST', '"GOODBYE", TO_NOBODY', "unknown direction 'TO_NOBODY'"),
    ('limits.h', 'WIRE_WINDOW_BYTES (256u << 10)', 'WIRE_WINDOW_BYTES (512u << 10)', 'run tools/protocol-tables'),
    ('limits.h', 'WIRE_EXIT_OOM = 1 << 0', 'WIRE_EXIT_OOM = 1 << 5', 'run tools/protocol-tables'),
    ('limits.h', 'WIRE_EXIT_OOM = 1 << 0', 'WIRE_STATUS_OOM = 1 << 0', 'no table shows WIRE_STATUS_OOM'),
    ('limits.h', '"look up the user"', '"find the user"', 'run tools/protocol-tables'),
    ('frame.h', 'WIRE_FRAME_END = 3', 'WIRE_FRAME_END = 5', 'run tools/protocol-tables'),
])
def test_a_header_that_changed_is_noticed(tree, header, old, new, then):
    change(tree / 'src' / 'wire' / header, old, new)
    result = tables('--check', tree)
    assert result.returncode == 1
    assert then in result.stderr


def test_a_page_that_was_changed_by_hand_is_mended(tree):
    page = tree / 'docs' / 'protocol.md'
    before = page.read_text()
    change(page, '| 12 | GOODBYE |', '| 13 | GOODBYE |')
    assert tables('--check', tree).returncode == 1
    assert tables(tree).returncode == 0
    assert page.read_text() == before


def test_a_message_without_a_table_is_noticed(tree):
    change(tree / 'docs' / 'protocol.md', '<!-- table: messages TO_ZYGOTE TO_AGENT -->', '')
    result = tables(tree)
    assert result.returncode == 1
    assert 'no table shows BUILD' in result.stderr

# SPDX-License-Identifier: Apache-2.0
"""The lint tools catch what they are there for, and find nothing in this tree."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def lint(tool, tree):
    return subprocess.run([ROOT / 'tools' / tool, tree], capture_output=True, text=True)


def tree_with(tmp_path, name, text):
    """A source tree of one file."""
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_the_tree_keeps_to_the_layers():
    result = lint('check-layers', ROOT)
    assert (result.returncode, result.stderr) == (0, '')


def test_the_tree_makes_no_banned_call():
    result = lint('check-banned', ROOT)
    assert (result.returncode, result.stderr) == (0, '')


def test_the_tree_is_formatted():
    folders = [ROOT / folder for folder in ('src', 'include', 'tests', 'fuzz', 'bench', 'examples')]
    files = sorted(path for folder in folders for path in folder.rglob('*.[ch]'))
    result = subprocess.run(['clang-format', '--dry-run', '--Werror', *files], capture_output=True, text=True, cwd=ROOT)
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('name, include, says', [
    ('src/base/fd.c', '"loop/loop.h"', 'src/base may not include "loop/loop.h"'),
    ('src/guest/init.c', '"machine/machine.h"', 'src/guest may not include'),
    ('src/cli/main.c', '"runtime/box.h"', 'src/cli may not include'),
    ('src/wire/frame.c', '"frame.h"', 'does not say its folder'),
    ('src/tar/reader.c', '"image/limits.h"', 'src/tar may not include "image/limits.h"'),
    ('src/shim/main.c', '<nestbox/nestbox.h>', 'only cli, runtime, serve may'),
    ('src/runtime/home.c', '<archive.h>', 'only image may'),
    ('src/cli/main.c', '<curl/curl.h>', 'only fetch may'),
    ('src/cli/main.c', '<zlib.h>', 'in no table'),
    ('src/misc/util.c', '<stdio.h>', "no layer has the name 'misc'"),
])
def test_an_include_across_the_layers_is_found(tmp_path, name, include, says):
    path = tree_with(tmp_path, name, f'#include <stdio.h>\n#  include {include}\n')
    result = lint('check-layers', tmp_path)
    assert result.returncode == 1
    assert str(path) in result.stderr and says in result.stderr


@pytest.mark.parametrize('name, include', [
    ('src/guest/init.c', '"link/link.h"'),
    ('src/shim/main.c', '"machine/machine.h"'),
    ('src/image/disk.c', '<ext2fs/ext2fs.h>'),
    ('src/base/fd.c', '<sys/stat.h>'),
    ('src/wire/frame.c', '<nestbox/error.h>'),
    ('src/cli/main.c', '<nestbox/nestbox.h>'),
    ('src/cli/main.c', '"tar/reader.h"'),
])
def test_an_include_along_the_layers_passes(tmp_path, name, include):
    tree_with(tmp_path, name, f'#include {include}\n')
    result = lint('check-layers', tmp_path)
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('code, says', [
    ('strcpy(a, b);', 'strcpy() writes without a bound'),
    ('int n = atoi (text);', 'atoi() hides errors'),
    ('r = system("ls");', 'system() runs a shell'),
    ('char c = \'"\'; sprintf(a, "x");', 'sprintf()'),
    ('while (waitpid(-1, &status, WNOHANG) > 0)', 'waits for any child'),
    ('/* a */ rand(); // b', 'rand() can be guessed'),
])
def test_a_banned_call_is_found_with_its_line(tmp_path, code, says):
    path = tree_with(tmp_path, 'src/runtime/box.c', f'/* one\n * two */\n{code}\n')
    result = lint('check-banned', tmp_path)
    assert result.returncode == 1
    assert f'{path}:3: ' in result.stderr and says in result.stderr


@pytest.mark.parametrize('code', [
    '/* system("ls") would run a shell */',
    '// strcpy(a, b)',
    'puts("never call gets() or \\"system(x)\\"");',
    'exec->signal(exec, 9); methods.signal(9); nb_exec_wait(exec); box_signal(b); snprintf(a, 1, "x");',
    'waitpid(pid, &status, 0);',
])
def test_what_only_looks_like_a_banned_call_passes(tmp_path, code):
    tree_with(tmp_path, 'src/runtime/box.c', code + '\n')
    result = lint('check-banned', tmp_path)
    assert (result.returncode, result.stderr) == (0, '')


def test_process_1_of_a_box_may_reap_whatever_comes(tmp_path):
    tree_with(tmp_path, 'src/guest/init.c', 'waitpid(-1, &status, WNOHANG);\n')
    assert lint('check-banned', tmp_path).returncode == 0


@pytest.mark.parametrize('tool', ['check-layers', 'check-banned'])
def test_a_tree_without_sources_is_not_a_clean_tree(tmp_path, tool):
    assert lint(tool, tmp_path).returncode == 1


def test_the_shell_scripts_parse():
    scripts = [ROOT / 'dev', ROOT / '.ci' / 'run', ROOT / 'tests' / 'as-user', *(ROOT / 'tools').iterdir()]
    parsed = 0
    for script in scripts:
        first = script.read_text(errors='replace').split('\n')[0] if script.is_file() else ''
        shell = {'#!/bin/sh': 'dash', '#!/bin/bash': 'bash'}.get(first)
        if shell:
            result = subprocess.run([shell, '-n', script], capture_output=True, text=True)
            assert (result.returncode, result.stderr) == (0, ''), script
            parsed += 1
    assert parsed > 5

# SPDX-License-Identifier: Apache-2.0
"""nestbox completion: real shells, asked what they would offer."""
import subprocess

import pytest

from nestbox import PROGRAM, SLOWNESS

BASH = '''compopt() { :; }
source <(nestbox completion bash)
COMP_LINE=$1 COMP_POINT=${#1} _nestbox
printf '%s\\n' "${COMPREPLY[@]}"
'''
ZSH = '''compdef() { :; }
compadd() { shift; print -rl -- "$@" }
_files() { print FILES }
source <(nestbox completion zsh)
words=("${(z)1}"); [[ $1 == *" " ]] && words+=("")
CURRENT=${#words}
_nestbox
'''
FISH = '''nestbox completion fish | source
complete -C $argv[1] | string replace -r '\\t.*' ''; or true
'''


def offered(nb, shell, line):
    scripts = {'bash': ['bash', '-c', BASH, 'bash', line], 'zsh': ['zsh', '-f', '-c', ZSH, 'zsh', line],
               'fish': ['fish', '--no-config', '-c', FISH, line]}
    env = nb.environment(None) | {'PATH': f'{PROGRAM.parent}:{nb.env["PATH"]}', 'TERM': 'dumb'}
    result = subprocess.run(scripts[shell], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            check=False, timeout=60 * SLOWNESS)
    assert result.returncode == 0 and result.stderr == '', result
    return {word for word in result.stdout.splitlines() if word}


@pytest.fixture(scope='module')
def home(module_homes):
    nb = module_homes.make('completion')
    nb.ok('create', '--name', 'web', '-v', 'data:/d', 'busybox')
    nb.ok('create', '--name', 'worker', 'busybox')
    nb.ok('tag', 'busybox', 'localhost/tools:1')
    return nb


SHELLS = pytest.mark.parametrize('shell', ['bash', pytest.param('zsh', marks=pytest.mark.tools('zsh')), pytest.param('fish', marks=pytest.mark.tools('fish'))])


@SHELLS
@pytest.mark.parametrize('line,words', [
    ('nestbox re', {'restart', 'rename'}),
    ('nestbox volume ', {'create', 'ls', 'inspect', 'rm'}),
    ('nestbox run --pu', {'--pull'}),
    ('nestbox run --pull ', {'missing', 'always', 'never'}),
    ('nestbox --accel k', {'kvm'}),
    ('nestbox stop w', {'web', 'worker'}),
    ('nestbox stop web wo', {'worker'}),
    ('nestbox exec -t we', {'web'}),
    ('nestbox run -i --name x local', {'localhost/tools:1'}),
    ('nestbox volume rm ', {'data'}),
    ('nestbox --debug logs -f we', {'web'}),
])
def test_a_shell_offers_what_may_stand_there(home, shell, line, words):
    assert offered(home, shell, line) == words


@SHELLS
def test_a_path_in_a_box_begins_with_its_name(home, shell):
    assert offered(home, shell, 'nestbox cp we') >= {'web:'}


def test_every_command_is_offered_and_has_its_options(home):
    listed = {word for line in home.ok('help').lines if line.startswith('  ') and line[2] != ' ' for word in line.split()[:1] if word[0].islower()}
    first = set(home.ok('completion', 'words', '--', '').lines)
    assert len(listed) > 30 and listed <= first
    for name in first - {'image', 'volume', 'template', 'system'}:
        assert '--help' in home.ok('completion', 'words', '--', name, '--').lines, name


def test_what_a_command_of_a_box_takes_is_not_ours_to_offer(home):
    for words in (['run', 'busybox', ''], ['exec', 'web', ''], ['run', 'busybox', '--'], ['rename', 'web', ''], ['volume', 'create', '']):
        assert home.ok('completion', 'words', '--', *words).out == b'', words


def test_an_unknown_shell_is_named(nb):
    result = nb.run('completion', 'tcsh')
    assert result.code == 2 and "'tcsh': want bash, zsh or fish" in result.err

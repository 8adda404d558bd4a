# SPDX-License-Identifier: Apache-2.0
"""The examples, which the build makes: each does what its first lines say."""
import subprocess

import pytest

from nestbox import ROOT, SLOWNESS

EXAMPLES = ROOT / 'build' / 'examples'


def run(nb, name, *args):
    return subprocess.run([EXAMPLES / name, *args], env=nb.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60 * SLOWNESS, check=False, text=True)


def test_run(nb):
    result = run(nb, 'run', 'sh', '-c', 'echo hello; echo oops >&2; exit 3')
    assert (result.returncode, result.stdout, result.stderr) == (3, 'hello\n', 'oops\n') and nb.boxes() == []


@pytest.mark.parametrize('loop', ['libuv', 'glib', 'libevent'])
def test_an_event_loop_has_many_commands_at_once(nb, loop):
    # Each waits for the next one: one after the other they would never end.
    lines = [f'until test -e /{i + 1}; do sleep 0.1; done; echo {i} >/{i}; echo out{i}; exit {i}' for i in range(5)]
    result = run(nb, f'loop-{loop}', *lines, 'echo last >/5; sleep 0.2')
    assert result.returncode == 4 and result.stderr == '', result
    assert sorted(result.stdout.splitlines()) == sorted(
        [f'{i + 1}: out{i}' for i in range(5)] + [f'{i + 1}: status {i}' for i in range(5)] + ['6: status 0'])
    assert nb.boxes() == []


@pytest.mark.parametrize('loop', ['libuv', 'glib', 'libevent'])
def test_an_event_loop_s_example_says_what_is_wrong(nb, loop):
    assert run(nb, f'loop-{loop}').returncode == 125
    nb.env['NESTBOX_QEMU'] = '/no/such/qemu'
    result = run(nb, f'loop-{loop}', 'true')
    assert result.returncode == 125 and '/no/such/qemu' in result.stderr

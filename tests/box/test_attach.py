# SPDX-License-Identifier: Apache-2.0
"""nestbox attach, wait and kill: coming to a box whose command runs already."""
import pytest

from nestbox import wait_until


def test_attach_has_output_input_and_status(nb):
    nb.ok('run', '-d', '-i', '--name', 'box', 'busybox', 'sh', '-c', 'echo before; read a; echo "got $a"; echo err >&2; exit 5')
    wait_until('its first words', lambda: nb.ok('logs', 'box').out == b'before\n')
    result = nb.run('attach', 'box', input=b'hello\n')
    assert (result.code, result.out, result.err) == (5, b'got hello\n', 'err\n')
    result = nb.run('attach', 'box')
    assert result.code == 125 and 'is stopped' in result.err and 'hint: ' in result.err, result


def test_attach_without_stdin_leaves_it_open(nb):
    script = 'while ! [ -e /go ]; do echo tick; sleep 0.1; done; echo ready; read a; echo "got $a"'
    nb.ok('run', '-d', '-i', '--name', 'box', 'busybox', 'sh', '-c', script)
    client = nb.popen('attach', '--no-stdin', 'box')
    assert client.stdout.read(5) == b'tick\n'
    result = nb.run('attach', 'box', input=b'refused\n')
    assert result.code == 125 and 'somebody is attached' in result.err, result
    client.kill()
    nb.finish(client)
    nb.ok('exec', 'box', 'touch', '/go')
    wait_until('the last tick', lambda: nb.ok('logs', 'box').out.endswith(b'ready\n'))
    result = wait_until('the client is gone', lambda: (lambda r: r if r.code != 125 else None)(nb.run('attach', 'box', input=b'still\n')))
    assert (result.code, result.out) == (0, b'got still\n')


def test_wait_prints_the_status_early_late_and_for_many(nb):
    nb.ok('run', '-d', '--name', 'a', 'busybox', 'sh', '-c', 'while ! [ -e /go ]; do sleep 0.1; done; exit 9')
    nb.ok('run', '-d', '--name', 'b', 'busybox', 'sh', '-c', 'kill -9 $$ & sleep 1000')
    waiting = [nb.popen('wait', 'a') for _ in range(3)]
    nb.ok('exec', 'a', 'touch', '/go')
    assert [nb.finish(client).out for client in waiting] == [b'9\n'] * 3
    nb.ok('kill', 'b')
    assert nb.ok('wait', 'a', 'b').out == b'9\n137\n'
    result = nb.run('wait', 'nope', 'a')
    assert (result.code, result.out) == (1, b'9\n') and 'nope' in result.err


def test_kill_sends_the_signal_that_was_asked_for(nb):
    box = nb.running_box(command=('sh', '-c', 'trap "exit 7" HUP; touch /ready; while :; do sleep 0.1; done'))
    wait_until('the trap', lambda: box.exec('test', '-e', '/ready').code == 0)
    assert nb.ok('kill', '-s', 'SIGHUP', box.name).text == box.name
    assert nb.ok('wait', box.name).text == '7'
    result = nb.run('kill', box.name)
    assert result.code == 1 and 'is stopped' in result.err, result


@pytest.mark.parametrize('words', [['kill', '-s', 'NOPE', 'x'], ['kill'], ['wait'], ['attach']])
def test_used_wrongly(nb, words):
    result = nb.run(*words)
    assert result.code == (125 if words[0] == 'attach' else 2) and 'hint: ' in result.err, result


def test_a_box_that_never_ran_is_not_waited_for(nb):
    nb.ok('create', '--name', 'new', 'busybox', 'true')
    for command, code in (('wait', 1), ('kill', 1), ('attach', 125)):
        result = nb.run(command, 'new')
        assert result.code == code and result.err.startswith(f'nestbox: {command}: '), result

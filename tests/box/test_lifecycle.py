# SPDX-License-Identifier: Apache-2.0
"""create, start, stop, rm: what a box goes through."""
import re
import signal

import pytest

import processes
from nestbox import wait_until


def test_create_makes_a_box_and_runs_nothing(homes, nb):
    result = nb.ok('create', '--name', 'b', 'busybox', 'echo', 'hi')
    assert re.fullmatch('[a-z2-7]{12}', result.text) and homes.new_processes() == []
    info = nb.inspect('b')
    assert (info['id'], info['state'], info['cause'], info['exit_code']) == (result.text, 'created', None, None)
    assert (info['started_at'], info['finished_at'], info['timing']) == (None, None, None)


def test_start_runs_it_in_the_background(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sleep', '1000')
    assert nb.ok('start', 'b').text == 'b'
    info = nb.inspect('b')
    assert info['state'] == 'running' and info['shim_pid'] and info['machine_pid']
    assert {p.pid for p in processes.alive()} >= {info['shim_pid'], info['machine_pid']}


def test_start_of_a_running_box_is_fine(box):
    pids = box.inspect()['shim_pid'], box.inspect()['machine_pid']
    assert box.nestbox.ok('start', box.name).text == box.name
    assert (box.inspect()['shim_pid'], box.inspect()['machine_pid']) == pids


def test_s33_a_box_keeps_its_disk_and_runs_again(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sh', '-c', 'test -e /ran && exit 8; touch /ran; exit 7')
    assert nb.run('start', '-a', 'b').code == 7
    assert nb.inspect('b')['exit_code'] == 7
    assert nb.run('start', '-a', 'b').code == 8
    assert nb.inspect('b')['exit_code'] == 8


def test_s33_stop_ends_a_command_and_it_starts_again(homes, nb):
    # PID 1 without a handler for TERM: only the kill after the grace period ends it.
    box = nb.running_box('--stop-timeout', '1')
    assert nb.ok('stop', 'box').text == 'box'
    assert homes.new_processes() == []
    info = box.inspect()
    assert (info['state'], info['cause'], info['exit_code'], info['exit_signal']) == ('stopped', 'stop', 137, signal.SIGKILL)
    nb.ok('stop', 'box')
    nb.ok('start', 'box')
    assert box.exec('echo', 'hi').out == b'hi\n'


def test_stop_sends_term_and_waits(nb):
    nb.running_box(command=('sh', '-c', 'trap "echo bye; exit 4" TERM; echo ready; while :; do sleep 0.1; done'))
    nb.wait_for_log('box', b'ready\n')
    nb.ok('stop', '-t', '60', 'box')
    info = nb.inspect('box')
    assert (info['cause'], info['exit_code'], info['exit_signal']) == ('stop', 4, None)
    assert nb.ok('logs', 'box').out == b'ready\nbye\n'


def test_stop_sends_the_box_s_own_signal(nb):
    nb.running_box('--stop-signal', 'USR1', command=('sh', '-c', 'trap "exit 5" USR1; echo ready; while :; do sleep 0.1; done'))
    nb.wait_for_log('box', b'ready\n')
    nb.ok('stop', 'box')
    assert nb.inspect('box')['exit_code'] == 5


def test_with_an_init_term_ends_a_command_that_does_not_handle_it(nb):
    nb.running_box('--init', '--stop-timeout', '60')
    nb.ok('stop', 'box', timeout=30)
    assert nb.inspect('box')['exit_code'] == 143


def test_s33_unknown_boxes_are_named_and_the_others_are_done(nb):
    nb.ok('create', '--name', 'here', 'busybox', 'true')
    for command in ('stop', 'start', 'rm'):
        result = nb.run(command, 'nowhere')
        assert (result.code, result.out) == (1, b'') and "'nowhere'" in result.err, result
    result = nb.run('rm', 'nowhere', 'here')
    assert (result.code, result.out) == (1, b'here\n') and nb.boxes() == [], result


def test_s33_a_running_box_is_not_removed_without_force(homes, nb):
    id = nb.running_box().inspect()['id']
    result = nb.run('rm', 'box')
    assert result.code == 1 and ("'box'" in result.err or f"'{id}'" in result.err) and 'hint: ' in result.err and nb.state('box') == 'running', result
    assert nb.ok('rm', '-f', 'box').text == 'box'
    assert nb.boxes() == [] and homes.new_processes() == []
    assert nb.run('inspect', 'box').code == 1


def test_rm_all_removes_every_box(nb):
    for name in 'abc':
        nb.ok('create', '--name', name, 'busybox', 'true')
    assert len(nb.ok('rm', '-a').lines) == 3 and nb.boxes() == []


def test_start_attached_gives_output_and_status(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 6')
    result = nb.run('start', '-a', 'b')
    assert (result.code, result.out, result.err) == (6, b'out\n', 'err\n')


def test_start_interactive_feeds_stdin(nb):
    nb.ok('create', '-i', '--name', 'b', 'busybox', 'cat')
    assert nb.run('start', '-a', '-i', 'b', input=b'one').out == b'one'
    assert nb.run('start', '-i', 'b', input=b'two').out == b'two'


def test_start_attached_to_a_running_box_follows_its_main_command(nb):
    nb.running_box(command=('sh', '-c', 'until [ -e /go ]; do sleep 0.1; done; echo gone; exit 9'))
    client = nb.popen('start', '-a', 'box')
    nb.ok('exec', 'box', 'touch', '/go')
    result = nb.finish(client)
    assert (result.code, result.out) == (9, b'gone\n')


def test_start_attached_takes_one_box(nb):
    assert nb.run('start', '-a', 'x', 'y').code == 125


def test_start_attached_to_an_unknown_box_is_125(nb):
    assert nb.run('start', '-a', 'nowhere').code == 125


def test_s34_a_finished_main_command_is_not_run_again(homes, nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sh', '-c', 'echo run')
    assert nb.run('start', '-a', 'b').out == b'run\n'
    for command in (['exec', 'b', 'true'], ['inspect', 'b'], ['logs', 'b'], ['ps', '-a'], ['stop', 'b']):
        nb.run(*command)
    assert homes.new_processes() == [] and nb.state('b') == 'stopped'
    assert nb.ok('logs', 'b').out == b'run\n'


def test_s13_a_main_command_that_cannot_run_fails_the_start_and_says_why(homes, nb):
    nb.ok('create', '--name', 'b', 'busybox', 'nope')
    result = nb.run('start', 'b')
    assert result.code == 1 and 'nope' in result.err, result
    info = nb.inspect('b')
    assert info['state'] == 'failed' and 'nope' in info['message']
    wait_until('its processes are gone', lambda: not homes.new_processes())  # the shim ends after it has said so
    assert nb.run('start', '-a', 'b').code == 127
    nb.ok('rm', 'b')


def test_a_box_that_ends_by_itself_is_stopped(homes, nb):
    nb.running_box(command=('sh', '-c', 'exit 9'))
    info = nb.wait_for_state('box', 'stopped')
    assert (info['cause'], info['exit_code']) == ('exit', 9)
    wait_until('its processes are gone', lambda: not homes.new_processes())


def test_s34_two_boxes_of_one_image_do_not_share_their_files(nb):
    first, second = nb.running_box(name='one'), nb.running_box(name='two')
    assert first.sh('echo mine >/file').code == 0
    assert second.exec('cat', '/file').code == 1
    assert first.exec('cat', '/file').text == 'mine'


def test_s24_an_init_reaps_what_the_main_command_never_waits_for(nb):
    box = nb.running_box('--init')
    sleeping = 'cat /proc/[0-9]*/comm | grep -cx sleep'
    orphans = box.sh('i=0; while [ $i -lt 100 ]; do ( (sleep 0.5) & ); i=$((i + 1)); done; ' + sleeping)
    assert int(orphans.text) > 1, orphans
    # A dead one that nobody has taken note of keeps its name; the main command is the one that stays.
    wait_until('the orphans are gone', lambda: box.sh(sleeping).text == '1', timeout=20)
    assert box.sh('cat /proc/[0-9]*/stat | grep ") Z "').code == 1


@pytest.mark.parametrize('form', ['name', 'id', 'prefix'])
def test_a_box_is_found_by(box, form):
    id = box.inspect()['id']
    word = {'name': box.name, 'id': id, 'prefix': id[:4]}[form]
    assert box.nestbox.ok('exec', word, 'echo', 'hi').text == 'hi'


def test_a_box_is_renamed_running_or_not(nb):
    box = nb.running_box(name='first')
    nb.ok('create', '--name', 'second', 'busybox')
    nb.ok('rename', 'first', 'third')
    nb.ok('rename', 'second', 'first')
    assert sorted((b['name'], b['state']) for b in nb.boxes()) == [('first', 'created'), ('third', 'running')]
    assert nb.ok('exec', 'third', 'hostname').text == nb.inspect('third')['hostname']
    nb.ok('rename', 'third', 'third')
    for old, new, code, said in (('third', 'first', 1, "'first' is taken"), ('third', '../x', 1, "'../x'"), ('third', '', 1, "''"), ('nobody', 'x', 1, "'nobody'"),
                                 ('third', None, 2, 'too few')):
        result = nb.run('rename', old, *([new] if new is not None else []))
        assert result.code == code and said in result.err, result
    nb.ok('rm', '-f', 'third')
    assert box.nestbox.run('inspect', 'third').code == 1


def test_a_restart_runs_the_command_again(nb):
    box = nb.running_box(command=('sh', '-c', 'echo run >>/runs; exec sleep 1000'))
    wait_until('it has begun', lambda: box.sh('cat /runs').text == 'run')
    machine = box.inspect()['machine_pid']
    assert nb.ok('restart', '-t', '0', 'box').text == 'box'
    wait_until('it has begun again', lambda: box.sh('cat /runs').text == 'run\nrun')
    assert box.inspect()['machine_pid'] != machine
    nb.ok('stop', '-t', '0', 'box')
    nb.ok('restart', 'box')
    wait_until('it has begun once more', lambda: box.sh('cat /runs').text == 'run\nrun\nrun')
    nb.ok('run', '-d', '--rm', '--name', 'passing', 'busybox', 'sleep', '1000')
    result = nb.run('restart', '-t', '0', 'passing', 'box')
    assert result.code == 1 and "'passing'" in result.err and result.text == 'box', result
    assert nb.state('passing') == 'running'

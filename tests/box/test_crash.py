# SPDX-License-Identifier: Apache-2.0
"""Something is killed: no process is left, `ps -a` tells the truth, the box can start again."""
import os
import random
import signal
import subprocess
import time

import pytest

import processes
from nestbox import SLOWNESS, rounds, wait_until


def gone(homes):
    """Gives the processes of the test time to notice. Those that are gone within 10 s are gone in time."""
    wait_until('no process is left', lambda: not homes.new_processes(), timeout=15)
    return True


@pytest.mark.parametrize('victim', ['shim_pid', 'machine_pid'])
def test_s11_a_killed_shim_or_machine_is_a_crash_and_the_box_starts_again(homes, nb, victim):
    box = nb.running_box()
    assert box.sh('echo v >/f; sync').code == 0
    assert box.sh('head -c 20000000 /dev/zero >/large').code == 0
    waiting = [box.popen('sleep', '1000') for _ in range(4)]
    copies = [nb.popen('cp', '-q', 'box:/large', '-'), nb.popen('cp', '-q', '-', 'box:/tmp', stdin=subprocess.PIPE)]
    wait_until('they run', lambda: box.sh('grep -lx -e sleep -e copy /proc/[0-9]*/comm | wc -l').text == '7')
    os.kill(box.inspect()[victim], signal.SIGKILL)
    for copy in copies:
        result = nb.finish(copy, timeout=10)
        assert result.code == 1 and result.err.startswith('nestbox: cp: '), result
    for client in waiting:
        result = box.finish(client, timeout=10)
        assert result.code == 125 and result.err.startswith('nestbox: exec: '), result
    assert gone(homes)
    info = box.inspect()
    assert (info['state'], info['cause'], info['exit_code'], info['shim_pid'], info['machine_pid']) == ('stopped', 'crash', None, None, None)
    assert info['message'], info
    assert box.exec('true').code == 125
    nb.ok('start', 'box')
    assert len(processes.machines()) - sum(p.name.startswith('qemu-') for p in homes.before) == 1
    assert box.exec('cat', '/f').text == 'v'
    assert box.inspect()['message'] is None


def test_s11_both_killed_at_once(homes, nb):
    box = nb.running_box()
    info = box.inspect()
    os.kill(info['shim_pid'], signal.SIGSTOP)
    os.kill(info['machine_pid'], signal.SIGKILL)
    os.kill(info['shim_pid'], signal.SIGKILL)
    assert gone(homes)
    assert (box.state(), box.inspect()['cause']) == ('stopped', 'crash')
    nb.ok('rm', 'box')


def test_s11_a_run_whose_machine_is_killed_fails_and_leaves_nothing(homes, nb):
    client = nb.popen('run', '--rm', '--name', 'b', 'busybox', 'sh', '-c', 'echo ready; sleep 1000')
    assert client.stdout.readline() == b'ready\n'
    os.kill(nb.inspect('b')['machine_pid'], signal.SIGKILL)
    result = nb.finish(client, timeout=20)
    assert result.code == 125 and result.err.startswith('nestbox: run: '), result
    assert gone(homes) and nb.boxes() == []


def test_s31_a_box_that_is_not_detached_ends_with_its_owner(homes, nb):
    client = nb.popen('run', '--name', 'b', 'busybox', 'sh', '-c', 'echo ready; sleep 1000')
    assert client.stdout.readline() == b'ready\n'
    client.kill()
    nb.finish(client)
    info = nb.wait_for_state('b', 'stopped', timeout=20)
    assert info['cause'] == 'owner'
    assert gone(homes)
    nb.ok('rm', 'b')


def test_s31_with_rm_nothing_is_left_of_it(homes, nb):
    client = nb.popen('run', '--rm', '--stop-timeout', '1', 'busybox', 'sh', '-c', 'echo ready; sleep 1000')
    assert client.stdout.readline() == b'ready\n'
    client.kill()
    nb.finish(client)
    wait_until('the box is removed', lambda: nb.boxes() == [] and not homes.new_processes(), timeout=20)


def test_s31_a_detached_box_outlives_its_creator_s_process_group(nb):
    client = nb.popen('run', '-d', '--name', 'b', 'busybox', 'sh', '-c', 'until [ -e /go ]; do sleep 0.1; done; exit 9', start_new_session=True)
    assert nb.finish(client).code == 0
    # The group's leader is gone; whoever else was in it is killed now.
    try:
        os.killpg(client.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    assert nb.ok('exec', 'b', 'touch', '/go').code == 0
    assert nb.wait_for_state('b', 'stopped')['exit_code'] == 9


def test_s31_a_killed_exec_client_leaves_the_box_alone(box):
    client = box.popen('sh', '-c', 'echo ready; sleep 1000')
    assert client.stdout.readline() == b'ready\n'
    client.kill()
    box.finish(client)
    assert box.exec('echo', 'hi').out == b'hi\n'


@pytest.mark.parametrize('command', ['run', 'start', 'stop', 'rm'])
def test_s29_a_client_killed_at_any_moment_breaks_nothing(homes, nb, command):
    for attempt in range(rounds(2, 20)):
        if command != 'run':
            nb.ok('create', '--name', 'b', 'busybox', 'sleep', '1000')
        if command in ('stop', 'rm'):
            nb.ok('start', 'b')
        words = {'run': ['run', '--name', 'b', 'busybox', 'sleep', '1000'], 'start': ['start', 'b'], 'stop': ['stop', '-t', '1', 'b'],
                 'rm': ['rm', '-f', 'b']}[command]
        client = nb.popen(*words)
        time.sleep(random.uniform(0, 2 if command in ('run', 'start') else 0.5) * SLOWNESS)
        client.kill()
        nb.finish(client)
        nb.ok('ps', '-a')
        if nb.run('rm', '-f', 'b').code != 0:
            assert nb.boxes() == [], attempt
        assert gone(homes)
        assert [path for path in nb.files() if path.startswith('boxes/')] == [], attempt


def test_s35_what_was_synced_survives_a_crash(nb):
    box = nb.running_box()
    for number in range(rounds(2, 20)):
        assert box.sh(f'echo {number} >/f; sync').code == 0
        os.kill(box.inspect()['machine_pid'], signal.SIGKILL)
        box.nestbox.wait_for_state('box', 'stopped')
        nb.ok('start', 'box')
        assert box.exec('cat', '/f').text == str(number)


def test_s30_a_damaged_record_is_mended(homes, nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sleep', '1000')
    id = nb.inspect('b')['id']
    record = nb.home / 'boxes' / id / 'run'
    for content in (b'', b'garbage', os.urandom(4096)):
        record.write_bytes(content)
        assert nb.run('ps', '-a').code == 0, content
        assert nb.state('b') in ('created', 'stopped', 'failed')
    nb.ok('rm', 'b')

# SPDX-License-Identifier: Apache-2.0
"""What a box's supervisor sees to by itself: restarts, health, and the box's time."""
import datetime
import json
import os
import time

import pytest

import processes
from nestbox import rounds, wait_until

POLICIES = pytest.mark.parametrize('policy', ['always', 'unless-stopped', 'on-failure'])
# Says that it ran, and fails after a moment.
FAILING = ('sh', '-c', 'echo run; sleep 0.2; exit 3')


def events(nb, box):
    return [json.loads(line) for line in
            nb.ok('events', '--no-stream', '--format', 'json', '--filter', f'box={box}').lines]


def actions(nb, box):
    return [event['event'] for event in events(nb, box)]


def wait_for_runs(nb, box, count):
    wait_until(f'it ran {count} times', lambda: len(nb.ok('logs', box).lines) >= count)


def kill(pid):
    processes.kill([process for process in processes.alive() if process.pid == pid])


# ------------------------------------------------------------------------------------------------------------ restarts

def test_a_command_that_fails_is_run_again_as_often_as_allowed(anyone):
    anyone.ok('run', '-d', '--name', 'box', '--restart', 'on-failure:2', 'busybox', *FAILING)
    box = anyone.wait_for_state('box', 'stopped')
    assert (box['restart'], box['restart_retries'], box['restart_count']) == ('on-failure', 2, 2)
    assert (box['exit_code'], box['cause'], box['next_start_at']) == (3, 'exit', None)
    assert anyone.ok('logs', 'box').lines == ['run'] * 3
    run = ['starting', 'start', 'die', 'stopping', 'stop']
    assert actions(anyone, 'box') == ['create', *run * 3]
    # Somebody's start is the first of a new row.
    anyone.ok('start', 'box')
    wait_until('it has ended again', lambda: anyone.inspect('box')['restart_count'] == 2 and anyone.state('box') == 'stopped')
    assert anyone.ok('logs', 'box').lines == ['run'] * 3


def test_one_that_succeeds_is_not_run_again_on_failure(nb):
    nb.ok('run', '-d', '--name', 'box', '--restart', 'on-failure', 'busybox', 'true')
    assert nb.wait_for_state('box', 'stopped')['restart_count'] == 0


def test_one_that_is_run_always_is_run_until_it_is_stopped(nb):
    nb.ok('run', '-d', '--name', 'box', '--restart', 'always', 'busybox', 'echo', 'run')
    wait_for_runs(nb, 'box', 3)
    nb.ok('stop', 'box')
    stopped = nb.inspect('box')
    # It was asked for while the box ran, waited, or was about to end by itself.
    assert (stopped['state'], stopped['shim_pid']) == ('stopped', None) and stopped['cause'] in ('stop', 'exit')
    time.sleep(1)
    assert nb.inspect('box')['finished_at'] == stopped['finished_at']


@POLICIES
def test_a_machine_that_dies_is_started_again(nb, policy):
    box = nb.running_box('--restart', policy)
    before = box.inspect()
    kill(before['machine_pid'])
    wait_until('it runs again', lambda: box.inspect()['restart_count'] == 1 and box.state() == 'running')
    after = box.inspect()
    assert after['shim_pid'] == before['shim_pid'] and after['machine_pid'] not in (None, before['machine_pid'])
    assert after['cause'] is None and after['message'] is None
    assert box.exec('echo', 'hello').text == 'hello'
    crash = [event for event in events(nb, 'box') if event['event'] == 'stop']
    assert len(crash) == 1 and crash[0]['attributes']['cause'] == 'crash' and 'machine ended' in crash[0]['attributes']['message']


def test_what_somebody_has_stopped_stays_stopped(nb):
    box = nb.running_box('--restart', 'always')
    nb.ok('stop', '-t', '0', 'box')
    assert box.inspect()['restart_count'] == 0 and box.state() == 'stopped'
    nb.ok('start', 'box')
    nb.ok('kill', 'box')  # as in docker: the command has died, and nobody has asked for a stop
    wait_until('it runs again', lambda: box.inspect()['restart_count'] == 1 and box.state() == 'running')


def waiting_box(nb, *options):
    """One that waits for its next start, for a minute or so."""
    nb.ok('run', '-d', '--name', 'box', '--restart', 'always', *options, 'busybox', *FAILING)

    def waits_long():
        box = nb.inspect('box')
        return box['next_start_at'] and at(box['next_start_at']) - at(box['finished_at']) > 1.5
    wait_until('it waits', waits_long)
    return nb.inspect('box')


def at(when):
    return datetime.datetime.fromisoformat(when.replace('Z', '+00:00')).timestamp()


def test_the_waits_grow(nb):
    waiting_box(nb)
    told = events(nb, 'box')
    waits = [at(after['time']) - at(before['time']) for before, after in zip(told, told[1:])
             if (before['event'], after['event']) == ('stop', 'starting')]
    assert len(waits) >= 4
    for i, wait in enumerate(waits):
        assert wait >= 0.1 * 2 ** i - 0.01
    assert [event['attributes'] for event in told if event['event'] == 'starting'] == [{}] + [
        {'restart_count': str(i)} for i in range(1, len(waits) + 1)]


def test_a_box_that_waits_can_be_stopped_and_removed(nb):
    box = waiting_box(nb)
    assert (box['state'], box['exit_code'], box['machine_pid']) == ('starting', 3, None)
    assert 'Restarting (3)' in nb.ok('ps').text
    nb.ok('stop', 'box')
    stopped = nb.inspect('box')
    assert (stopped['state'], stopped['cause'], stopped['exit_code'], stopped['next_start_at']) == ('stopped', 'stop', 3, None)
    nb.ok('rm', 'box')


def test_a_box_that_waits_can_be_removed_by_force(nb):
    waiting_box(nb)
    nb.ok('rm', '-f', 'box')
    assert nb.boxes() == []


def test_a_box_that_waits_answers(nb):
    waiting_box(nb)
    for command in (['exec', 'box', 'true'], ['stats', '--no-stream', 'box'], ['top', 'box']):
        result = nb.run(*command)
        assert result.code in (1, 125) and 'not running' in result.err, result
    assert nb.ok('wait', 'box').text == '3'
    assert set(nb.ok('logs', 'box').lines) == {'run'}


def test_a_shim_that_dies_while_it_waits_is_a_crash(nb):
    box = waiting_box(nb)
    kill(box['shim_pid'])
    dead = nb.inspect('box')
    assert (dead['state'], dead['cause'], dead['next_start_at']) == ('stopped', 'crash', None)
    nb.ok('rm', 'box')


def test_who_starts_a_box_that_waits_gets_it_running(nb):
    nb.ok('create', '--name', 'box', '--restart', 'always', 'busybox', 'sh', '-c', 'test -e /ok && sleep 1000; touch /ok; exit 3')
    nb.ok('start', 'box')
    wait_until('it waits', lambda: nb.inspect('box')['restart_count'] > 0 or nb.inspect('box')['next_start_at'])
    nb.ok('start', 'box')
    nb.wait_for_state('box', 'running')


def test_logs_that_are_followed_go_on_over_restarts(nb):
    nb.ok('run', '-d', '--name', 'box', '--restart', 'on-failure:2', 'busybox', *FAILING)
    assert nb.ok('logs', '-f', 'box').lines == ['run'] * 3


def test_a_first_start_that_fails_is_not_repeated(nb):
    result = nb.run('run', '-d', '--name', 'box', '--restart', 'always', 'busybox', '/no/such/program')
    assert result.code == 127 and nb.state('box') == 'failed'
    assert actions(nb, 'box') == ['create', 'starting', 'fail']


def test_a_box_that_is_not_detached_ends_with_its_owner(nb):
    assert nb.run('run', '--name', 'box', '--restart', 'always', 'busybox', 'sh', '-c', 'exit 5').code == 5
    box = nb.wait_for_state('box', 'stopped')
    assert (box['exit_code'], box['shim_pid']) == (5, None)


def test_mounts_made_meanwhile_are_there_after_a_restart(nb, tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    box = nb.running_box('--restart', 'always', '-v', f'{tmp_path}/a:/a', '--tmpfs', '/t')
    nb.ok('update', '--volume-add', f'{tmp_path}/b:/b', '--volume-rm', '/a', 'box')
    box.sh('echo kept > /b/file')
    kill(box.inspect()['machine_pid'])
    wait_until('it runs again', lambda: box.inspect()['restart_count'] == 1 and box.state() == 'running')
    assert box.sh('cat /b/file; mount | grep -c " on /a "; mount | grep -c " on /t "').lines == ['kept', '0', '1']


def test_restarts_leave_nothing_open(nb):
    box = nb.running_box('--restart', 'always')
    shim = box.inspect()['shim_pid']

    def open_files():
        return len(os.listdir(f'/proc/{shim}/fd'))
    before = open_files()
    for i in range(1, rounds(4, 10)):  # the waits double each time
        kill(box.inspect()['machine_pid'])
        wait_until('it runs again', lambda: box.inspect()['restart_count'] == i and box.state() == 'running', 120)
    wait_until('no more files are open than before', lambda: open_files() <= before)


# -------------------------------------------------------------------------------------------------------------- health

CHECK = 'test -e /ok && echo good || { echo out; echo bad >&2; exit 1; }'


def test_health_is_looked_at_and_told(anyone):
    box = anyone.running_box('--health-cmd', CHECK, '--health-interval', '100ms', '--health-retries', '2')
    assert box.inspect()['health'] in ('starting', 'unhealthy')
    unhealthy = wait_until('it is unhealthy', lambda: box.inspect()['health'] == 'unhealthy' and box.inspect())
    assert unhealthy['health_failures'] >= 2 and '(unhealthy)' in anyone.ok('ps').text
    assert unhealthy['health_results'][0]['output'] == 'out\nbad\n' and unhealthy['health_results'][0]['exit_code'] == 1
    box.exec('touch', '/ok')
    healthy = wait_until('it is healthy', lambda: box.inspect()['health'] == 'healthy' and box.inspect())
    assert healthy['health_failures'] == 0 and healthy['health_results'][-1]['output'] == 'good\n'
    wait_until('there are five results', lambda: len(box.inspect()['health_results']) == 5)
    results = box.inspect()['health_results']
    assert [result['started_at'] for result in results] == sorted(result['started_at'] for result in results)
    assert anyone.ok('ps', '-q', '--filter', 'health=healthy').lines and not anyone.ok('ps', '-q', '--filter', 'health=starting').lines
    assert [event['attributes']['status'] for event in events(anyone, 'box') if event['event'] == 'health'] == ['unhealthy', 'healthy']
    # The looks are nobody's execs.
    assert len(box.inspect()['execs']) == 1 and actions(anyone, 'box').count('exec') == 1
    assert anyone.json('stats', '--no-stream', '--format', 'json', 'box')[0]['commands_executed_total'] == 2


def test_a_look_that_takes_too_long_has_failed_and_is_gone(nb):
    box = nb.running_box('--health-cmd', 'sleep 1234', '--health-interval', '100ms', '--health-timeout', '200ms', '--health-retries', '1')
    found = wait_until('it is unhealthy', lambda: box.inspect()['health'] == 'unhealthy' and box.inspect())
    assert found['health_results'][0]['timed_out'] is True
    wait_until('there are five', lambda: len(box.inspect()['health_results']) == 5)
    assert len(box.sh('ps | grep -c "sleep 123[4]"').lines) == 1 and int(box.sh('ps | grep -c "sleep 123[4]"').text) <= 2


def test_a_look_does_not_hold_up_a_stop(nb):
    box = nb.running_box('--health-cmd', 'trap "" TERM; sleep 1000', '--health-interval', '1ms')
    wait_until('it looks', lambda: box.sh('ps | grep -q "sleep 100[0]$"').code == 0)
    nb.ok('stop', '-t', '0', 'box')
    assert box.state() == 'stopped'


def test_what_fails_while_it_starts_does_not_count(nb):
    box = nb.running_box('--health-cmd', CHECK, '--health-interval', '50ms', '--health-retries', '1', '--health-start-period', '1h')
    wait_until('there are five results', lambda: len(box.inspect()['health_results']) == 5)
    assert (box.inspect()['health'], box.inspect()['health_failures']) == ('starting', 0)
    box.exec('touch', '/ok')
    wait_until('it is healthy', lambda: box.inspect()['health'] == 'healthy')
    box.exec('rm', '/ok')  # it has started by now
    wait_until('it is unhealthy', lambda: box.inspect()['health'] == 'unhealthy')


def test_the_image_says_how(nb, oci, busybox_layer):
    check = {'Test': ['CMD', '/no/such/program'], 'Interval': 10 ** 8, 'Retries': 1}
    oci.image('latest', [busybox_layer], Cmd=['sleep', '1000'], Healthcheck=check)
    nb.ok('run', '-d', '--name', 'box', f'oci:{oci.path}')
    found = wait_until('it is unhealthy', lambda: nb.inspect('box')['health'] == 'unhealthy' and nb.inspect('box'))
    assert found['health_check'] == {'test': ['CMD', '/no/such/program'], 'interval_ns': 10 ** 8, 'timeout_ns': 30 * 10 ** 9,
                                     'start_period_ns': None, 'retries': 1}
    assert found['health_results'][0]['exit_code'] is None and '/no/such/program' in found['health_results'][0]['output']
    nb.ok('create', '--name', 'without', '--no-healthcheck', f'oci:{oci.path}')
    assert nb.inspect('without')['health_check'] is None
    nb.ok('create', '--name', 'other', '--health-cmd', 'true', f'oci:{oci.path}')
    other = nb.inspect('other')['health_check']
    assert other['test'] == ['CMD', '/bin/sh', '-c', 'true'] and other['interval_ns'] == 10 ** 8
    nb.ok('create', '--name', 'patient', '--health-interval', '2s', f'oci:{oci.path}')
    assert nb.inspect('patient')['health_check']['interval_ns'] == 2 * 10 ** 9


def test_health_begins_anew_with_each_run(nb):
    box = nb.running_box('--health-cmd', 'true', '--health-interval', '100ms', '--restart', 'always')
    wait_until('it is healthy', lambda: box.inspect()['health'] == 'healthy')
    kill(box.inspect()['machine_pid'])
    wait_until('it is healthy again', lambda: box.inspect()['restart_count'] == 1 and box.inspect()['health'] == 'healthy')
    nb.ok('stop', '-t', '0', 'box')
    assert box.inspect()['health'] == 'healthy'  # of the last run


# ---------------------------------------------------------------------------------------------------------- its time

def test_a_box_that_nobody_uses_is_stopped(nb):
    box = nb.running_box('--auto-stop', '2s')
    for _ in range(4):
        time.sleep(1)
        assert box.exec('true').code == 0
    long = box.popen('sleep', '4')
    assert box.finish(long).code == 0
    stopped = nb.wait_for_state('box', 'stopped')
    assert (stopped['cause'], stopped['auto_stop_ms'], stopped['restart_count']) == ('idle', 2000, 0)


def test_a_box_that_somebody_is_attached_to_is_used(nb):
    nb.ok('run', '-d', '-i', '--name', 'box', '--auto-stop', '500ms', 'busybox', 'cat')
    attached = nb.popen('attach', 'box', stdin=-1)
    time.sleep(2)
    attached.stdin.write(b'still here\n')
    attached.stdin.flush()
    assert attached.stdout.readline() == b'still here\n'
    attached.communicate()
    nb.wait_for_state('box', 'stopped')


def test_a_box_has_its_time(nb):
    box = nb.running_box('--max-lifetime', '1s', '--restart', 'always')
    busy = box.popen('sleep', '100')
    stopped = nb.wait_for_state('box', 'stopped')
    assert (stopped['cause'], stopped['max_lifetime_ms'], stopped['restart_count']) == ('lifetime', 1000, 0)
    assert box.finish(busy).code != 0


def test_a_visit_is_none_of_the_box_s_time(nb):
    nb.ok('create', '--name', 'box', '--max-lifetime', '1ms', '--auto-stop', '1ms', '--restart', 'always', '--health-cmd', 'false',
          '--health-interval', '1ms', 'busybox', 'sleep', '1000')
    assert b'root:' in nb.ok('cp', 'box:/etc/passwd', '-').out
    nb.ok('commit', 'box', 'copy')
    box = nb.inspect('box')
    assert (box['state'], box['health'], box['restart_count']) == ('created', None, 0)


def test_a_box_that_has_been_stopped_for_long_enough_goes(nb):
    nb.ok('run', '--name', 'soon', '--auto-delete', '1s', 'busybox', 'true')
    nb.ok('run', '--name', 'later', '--auto-delete', '1h', 'busybox', 'true')
    nb.ok('create', '--name', 'never', '--auto-delete', '1ms', 'busybox', 'true')
    assert nb.run('run', '--name', 'failed', '--auto-delete', '1ms', 'busybox', '/no/such').code == 127
    nb.running_box('--auto-delete', '1ms', name='runs')

    def names():
        return {box['name'] for box in nb.boxes()}
    wait_until('two are gone', lambda: names() == {'later', 'never', 'runs'})
    assert actions(nb, 'soon')[-1] == 'remove'


# --------------------------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize('options,named', [
    (['--restart', 'sometimes'], 'sometimes'), (['--restart', 'on-failure:0'], 'on-failure:0'), (['--restart', 'on-failure:x'], 'on-failure:x'),
    (['--restart', 'always:3'], 'always:3'), (['--restart', ''], '--restart'), (['--restart', 'always', '--rm'], '--rm'),
    (['--health-cmd', ''], '--health-cmd'), (['--health-cmd', 'true', '--no-healthcheck'], '--no-healthcheck'),
    (['--health-retries', '0'], '--health-retries'), (['--health-interval', '0'], '--health-interval'),
    (['--health-timeout', 'soon'], '--health-timeout'), (['--health-start-period', '-1s'], '--health-start-period'),
    (['--auto-stop', '0'], '--auto-stop'), (['--auto-delete', '2000h0'], '--auto-delete'), (['--max-lifetime', '100000h'], '--max-lifetime')])
def test_wrong_options_are_named_and_nothing_is_made(homes, nb, options, named):
    result = nb.run('run', *options, 'busybox', 'true')
    assert result.code == 125 and named in result.err, result
    assert nb.boxes() == []

# SPDX-License-Identifier: Apache-2.0
"""nestbox run: from an image to a status in one command."""
import re
import signal

import pytest

from nestbox import rounds, wait_until


def left(homes, nb):
    """What there is of boxes and processes."""
    return nb.boxes(), homes.new_processes(), [path for path in nb.files() if path.startswith('boxes/')]


NOTHING = ([], [], [])


def test_s02_the_output_of_an_instant_command_is_whole(homes, nb):
    for _ in range(rounds(5, 100)):
        result = nb.run('run', '--rm', 'busybox', 'echo', 'hi')
        assert (result.code, result.out, result.err) == (0, b'hi\n', ''), result
    assert left(homes, nb) == NOTHING


def test_status_and_streams_are_the_command_s(homes, nb):
    result = nb.run('run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3')
    assert (result.code, result.out, result.err) == (3, b'out\n', 'err\n')
    assert left(homes, nb) == NOTHING


@pytest.mark.parametrize('options,command,code,named', [
    ([], ['nope'], 127, 'nope'),
    ([], ['/tmp'], 126, '/tmp'),
    ([], ['/etc/passwd'], 126, '/etc/passwd'),
    (['-w', '/etc/passwd'], ['true'], 126, '/etc/passwd'),
    (['-u', 'nosuchuser'], ['true'], 126, 'nosuchuser'),
])
def test_s13_what_cannot_be_executed_is_named_and_nothing_is_left(homes, nb, options, command, code, named):
    result = nb.run('run', '--rm', *options, 'busybox', *command)
    assert (result.code, result.out) == (code, b'') and named in result.err, result
    assert left(homes, nb) == NOTHING


def test_options_make_the_box(homes, nb):
    script = 'hostname; pwd; id -u; echo $A; nproc; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; cat /etc/hostname; ' \
             'echo $(($(stat -f -c "%b * %S" /) / 1048576 > 900))'
    result = nb.ok('run', '--rm', '--name', 'x', '--hostname', 'host1', '-w', '/new/folder', '-u', '1000', '-e', 'A=b c', '--cpus', '2',
                   '-m', '100m', '--pids-limit', '50', '--disk', '1g', '--label', 'k=v', 'busybox', 'sh', '-c', script)
    assert result.lines == ['host1', '/new/folder', '1000', 'b c', '2', str(100 << 20), '50', 'host1', '1'], result
    assert left(homes, nb) == NOTHING


def test_entrypoint_replaces_the_image_s_and_its_command(nb):
    assert nb.ok('run', '--rm', '--entrypoint', 'echo', 'busybox', 'a', 'b').out == b'a b\n'


def test_without_rm_the_box_is_kept_with_its_end(nb):
    assert nb.run('run', '--name', 'b', 'busybox', 'sh', '-c', 'exit 3').code == 3
    info = nb.inspect('b')
    assert (info['state'], info['cause'], info['exit_code'], info['exit_signal']) == ('stopped', 'exit', 3, None)
    assert info['shim_pid'] is None and info['machine_pid'] is None and info['finished_at'] > info['started_at']


def test_s12_a_status_of_zero_and_no_status_differ(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'true')
    assert nb.inspect('b')['exit_code'] is None
    assert nb.run('start', '-a', 'b').code == 0
    info = nb.inspect('b')
    assert (info['exit_code'], info['exit_signal']) == (0, None) and info['exit_code'] is not False


def test_s12_a_main_command_that_a_signal_ends_is_128_plus_n(nb):
    # A main command is PID 1 and ignores what it does not handle; its child with --init does not.
    assert nb.run('run', '--name', 'b', '--init', 'busybox', 'sh', '-c', 'kill -TERM $$; sleep 1000').code == 143
    info = nb.inspect('b')
    assert (info['exit_code'], info['exit_signal']) == (143, signal.SIGTERM)


def test_s12_a_signal_to_the_client_reaches_the_main_command(homes, nb):
    client = nb.popen('run', '--rm', 'busybox', 'sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done')
    assert client.stdout.readline() == b'ready\n'
    client.send_signal(signal.SIGTERM)
    assert nb.finish(client).code == 7
    assert left(homes, nb) == NOTHING


def test_a_second_interrupt_ends_everything(homes, nb):
    client = nb.popen('run', '--rm', 'busybox', 'sh', '-c', 'trap "echo once" INT; echo ready; while :; do sleep 0.1; done')
    assert client.stdout.readline() == b'ready\n'
    client.send_signal(signal.SIGINT)
    assert client.stdout.readline() == b'once\n'
    client.send_signal(signal.SIGINT)
    assert nb.finish(client).code in (130, 137)
    assert left(homes, nb) == NOTHING


def test_an_interrupt_while_the_machine_boots_leaves_nothing(homes, nb):
    nb.ok('ps')
    client = nb.popen('run', '--rm', 'busybox', 'sleep', '1000')
    wait_until('its box is starting', lambda: nb.boxes() and nb.boxes()[0]['state'] == 'starting')
    # As fingers do it; two at the same moment would be one.
    wait_until('it has ended', lambda: client.poll() is not None or client.send_signal(signal.SIGINT), timeout=20)
    assert nb.finish(client).code in (130, 137, -signal.SIGINT)
    wait_until('nothing is left', lambda: left(homes, nb) == NOTHING, timeout=20)


def test_s06_a_timeout_ends_the_main_command(homes, nb):
    result = nb.run('run', '--rm', '--timeout', '1s', 'busybox', 'sh', '-c', 'sleep 301 & wait; :', timeout=30)
    assert result.code == 124
    assert left(homes, nb) == NOTHING


def test_s05_a_background_child_does_not_keep_the_box(homes, nb):
    result = nb.run('run', '--rm', 'busybox', 'sh', '-c', 'sleep 300 & echo out; exit 5', timeout=30)
    assert (result.code, result.out) == (5, b'out\n')
    assert left(homes, nb) == NOTHING


def test_s14_stdin_reaches_the_main_command(nb):
    sent = bytes(range(256)) * 2000
    result = nb.run('run', '--rm', '-i', 'busybox', 'cat', input=sent)
    assert result.code == 0 and result.out == sent


def test_s14_without_i_the_main_command_s_stdin_is_at_its_end(nb):
    with open('/dev/zero', 'rb') as zero:
        result = nb.run('run', '--rm', 'busybox', 'cat', stdin=zero)
    assert (result.code, result.out) == (0, b'')


def test_detached_prints_the_id_and_runs_on(nb):
    result = nb.ok('run', '-d', '--name', 'b', 'busybox', 'sh', '-c', 'echo started; sleep 1000')
    assert re.fullmatch('[a-z2-7]{12}', result.text) and result.err == ''
    assert nb.inspect(result.text)['state'] == 'running' == nb.state('b')
    assert nb.ok('exec', result.text[:5], 'echo', 'hi').text == 'hi'


def test_a_detached_box_with_rm_removes_itself(homes, nb):
    nb.ok('run', '-d', '--rm', '--name', 'b', 'busybox', 'sleep', '1')
    wait_until('the box is gone', lambda: left(homes, nb) == NOTHING)


def test_timing_adds_up(nb):
    result = nb.ok('run', '--rm', '--timing', 'busybox', 'true')
    steps = {name: float(ms) for name, ms in re.findall(r'^(\w+) +([\d.]+) ms$', result.err, re.M)}
    assert list(steps) == ['prepare', 'machine', 'boot', 'container', 'command', 'total'] and result.out == b''
    assert abs(sum(steps.values()) - 2 * steps['total']) < 1


def test_options_after_the_image_belong_to_the_command(nb):
    assert nb.ok('run', '--rm', '--', 'busybox', 'echo', '--rm', '-d', '--help').text == '--rm -d --help'


def test_the_image_s_own_command_runs_without_one(nb):
    assert nb.run('run', '--rm', '-i', 'busybox', input=b'echo from sh; exit 4\n').code == 4


@pytest.mark.parametrize('options,named', [
    (['--nosuch'], '--nosuch'), (['-Z'], '-Z'), (['--memory', '1q'], '1q'), (['--memory', '1k'], '1k'), (['--cpus', '0'], "'0'"),
    (['--cpus', '1.5555'], '1.5555'), (['--timeout', 'soon'], 'soon'), (['-v', '/a'], '--volume'), (['-p', '80:80'], '--publish'),
    (['--network', 'full'], 'full'), (['--privileged'], '--privileged'), (['--stop-signal', 'NOSUCH'], 'NOSUCH'),
    (['--label', '=x'], '=x'), (['-e', '=x'], '=x'), (['--env-file', '/no/such/file'], '/no/such/file'), (['-w', 'relative'], 'relative'),
])
def test_wrong_usage_is_125_and_names_the_option(homes, nb, options, named):
    result = nb.run('run', '--rm', *options, 'busybox', 'true')
    assert (result.code, result.out) == (125, b''), result
    assert result.err.startswith('nestbox: run: ') and named in result.err.splitlines()[0], result
    assert left(homes, nb) == NOTHING


def test_s53_ports_are_refused_at_create(nb):
    result = nb.run('create', '-p', '8080:80', 'busybox', 'true')
    assert result.code == 2 and '--publish' in result.err, result

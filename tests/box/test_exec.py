# SPDX-License-Identifier: Apache-2.0
"""nestbox exec: what a command gets, and what becomes of it."""
import signal

import pytest

from nestbox import rounds, wait_until


def test_s01_the_last_bytes_of_an_output_are_never_lost(box):
    for _ in range(rounds(20, 200)):
        result = box.sh('printf %s ABC')
        assert (result.code, result.out, result.err) == (0, b'ABC', ''), result


def test_stdout_and_stderr_stay_apart(box):
    result = box.sh('echo out; echo err >&2; exit 3')
    assert (result.code, result.out, result.err) == (3, b'out\n', 'err\n')


@pytest.mark.parametrize('code', [0, 1, 2, 42, 124, 125, 126, 127, 128, 255])
def test_s12_an_exit_status_is_passed_on(box, code):
    assert box.sh(f'exit {code}').code == code


@pytest.mark.parametrize('name', ['TERM', 'KILL', 'SEGV', 'INT', 'ABRT', 'USR1'])
def test_s12_signal_death_is_128_plus_n(box, name):
    assert box.sh(f'kill -{name} $$; sleep 1000').code == 128 + signal.Signals[f'SIG{name}']


@pytest.mark.parametrize('name', ['INT', 'TERM', 'HUP', 'QUIT', 'USR1', 'USR2'])
def test_s12_a_signal_to_the_client_reaches_the_command(box, name):
    client = box.popen('sh', '-c', f'trap "exit 7" {name}; echo ready; while :; do sleep 0.1; done')
    assert client.stdout.readline() == b'ready\n'
    client.send_signal(signal.Signals[f'SIG{name}'])
    assert box.finish(client).code == 7


def test_s12_a_signal_that_is_not_handled_ends_the_command(box):
    client = box.popen('sh', '-c', 'echo ready; sleep 1000; :')
    assert client.stdout.readline() == b'ready\n'
    client.send_signal(signal.SIGTERM)
    assert box.finish(client).code == 128 + signal.SIGTERM


def test_a_second_interrupt_kills_a_command_that_ignores_the_first(box):
    client = box.popen('sh', '-c', 'trap "echo once" INT; echo ready; while :; do sleep 0.1; done')
    assert client.stdout.readline() == b'ready\n'
    client.send_signal(signal.SIGINT)
    assert client.stdout.readline() == b'once\n'
    client.send_signal(signal.SIGINT)
    assert box.finish(client).code in (128 + signal.SIGKILL, 128 + signal.SIGINT)


# What is asked for, the status, and what the message has to name.
REFUSED = {
    'a program that is not there': ([], ['nope'], 127, 'nope'),
    'a path that is not there': ([], ['/no/such/program'], 127, '/no/such/program'),
    'a folder': ([], ['/tmp'], 126, '/tmp'),
    'a file that is not executable': ([], ['/etc/passwd'], 126, '/etc/passwd'),
    'an interpreter that is not there': ([], ['/tmp/bad-interpreter'], 127, '/tmp/bad-interpreter'),
    'a working directory that is not there': (['-w', '/no/where'], ['true'], 126, '/no/where'),
    'a file as working directory': (['-w', '/etc/passwd'], ['true'], 126, '/etc/passwd'),
    'an unknown user': (['-u', 'nosuchuser'], ['true'], 126, 'nosuchuser'),
    'an unknown group': (['-u', 'root:nosuchgroup'], ['true'], 126, 'nosuchgroup'),
    'an empty program': ([], [''], 127, "''"),
}


@pytest.mark.parametrize('what', REFUSED)
def test_s13_what_cannot_be_executed_is_named(box, what):
    options, command, code, named = REFUSED[what]
    assert box.sh('printf "#!/no/such/interpreter\\n" >/tmp/bad-interpreter; chmod 755 /tmp/bad-interpreter').code == 0
    result = box.exec(*command, options=options)
    assert (result.code, result.out) == (code, b''), result
    assert result.err.startswith('nestbox: exec: ') and named in result.err, result
    assert box.exec('echo', 'hi').out == b'hi\n'


def test_environment_is_added_to_the_box_s_own(box, files):
    (files / 'env').write_text('# a comment\n\nFROM_FILE=one two\nOVERRIDDEN=file\nPASSED\n')
    options = ['--env-file', str(files / 'env'), '-e', 'OVERRIDDEN=option', '-e', 'EMPTY=', '-e', 'PASSED_TOO', '-e', 'NOT_SET']
    result = box.exec('env', options=options, env={'PASSED': 'p', 'PASSED_TOO': 'q'})
    assert {'FROM_FILE=one two', 'OVERRIDDEN=option', 'EMPTY=', 'PASSED=p', 'PASSED_TOO=q'} <= set(result.lines), result
    assert any(line.startswith('PATH=/usr/local/sbin:') for line in result.lines), result
    assert not any(line.startswith('NOT_SET') for line in result.lines), result


def test_nothing_of_the_caller_s_environment_is_passed_unasked(box):
    assert 'SECRET' not in box.exec('env', env={'SECRET': '1'}).text


def test_working_directory_and_home(box):
    assert box.sh('pwd; echo $HOME').lines == ['/', '/root']
    assert box.exec('pwd', options=['-w', '/tmp']).text == '/tmp'


@pytest.mark.parametrize('user,ids', [('root', '0 0'), ('nobody', None), ('1000', '1000 0'), ('1000:1001', '1000 1001'), ('0:5', '0 5')])
def test_user_by_name_and_by_number(box, user, ids):
    result = box.sh('echo $(id -u) $(id -g); touch /etc/mine 2>/dev/null && echo writable; rm -f /etc/mine', options=['-u', user])
    assert result.code == 0, result
    assert result.lines[0] == ids if ids else result.lines[0] != '0 0'
    assert ('writable' in result.lines) == user.startswith(('root', '0')), result


def test_options_after_the_box_belong_to_the_command(box):
    assert box.exec('echo', '-i', '--help', '--').text == '-i --help --'


def test_exec_in_an_unknown_box_is_125(nb):
    result = nb.run('exec', 'nosuchbox', 'true')
    assert (result.code, result.out) == (125, b'') and "'nosuchbox'" in result.err, result


def test_exec_in_a_box_that_does_not_run_is_125_and_says_so(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'true')
    result = nb.run('exec', 'b', 'true')
    assert result.code == 125 and "'b'" in result.err and 'hint: ' in result.err, result
    assert nb.state('b') == 'created'


def test_a_long_command_holds_up_no_other(box):
    client = box.popen('sleep', '1000')
    for _ in range(rounds(5, 50)):
        assert box.exec('true').code == 0
    assert client.poll() is None
    client.send_signal(signal.SIGTERM)
    assert box.finish(client).code == 128 + signal.SIGTERM


# How a tree may look that has to die with its time-out; each writes the pid that must be gone to /tmp/pid.
TREES = {
    'a child': 'sleep 301 & echo $! >/tmp/pid; wait; :',
    'a leader that ignores TERM': 'trap "" TERM; echo $$ >/tmp/pid; while :; do sleep 1; done',
    'a child that outlives its leader': 'sh -c \'trap "" TERM; echo $$ >/tmp/pid; while :; do sleep 1; done\' & wait; :',
    'a child in a session of its own': 'setsid sleep 302 & echo $! >/tmp/pid; wait; :',
}


@pytest.mark.parametrize('tree', TREES)
def test_s06_a_timeout_kills_the_whole_tree(box, tree):
    assert box.exec('rm', '-f', '/tmp/pid').code == 0
    result = box.sh(TREES[tree], options=['--timeout', '1s'], timeout=20)
    assert result.code == 124, result
    wait_until('the tree is dead', lambda: not box.lives('/tmp/pid'), timeout=20)


def test_a_command_that_ends_before_its_timeout_keeps_its_status(box):
    assert box.sh('exit 3', options=['--timeout', '10m']).code == 3


def test_a_box_has_dockers_rights_and_no_more(box):
    status = box.exec('cat', '/proc/self/status').text
    assert 'CapEff:\t00000000a80425fb\n' in status and 'CapBnd:\t00000000a80425fb\n' in status
    assert box.sh('echo 1 >/proc/sys/kernel/panic').code != 0
    assert box.sh('mkdir /sys/x').code != 0


def test_s53_without_a_network_there_is_only_the_loopback(box):
    assert box.exec('ls', '/sys/class/net').lines == ['lo']
    assert 'eth0' not in box.exec('cat', '/proc/net/dev').text

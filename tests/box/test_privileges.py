# SPDX-License-Identifier: Apache-2.0
"""What a box's main command, and the execs that begin from it, may do and use: capabilities, limits, time."""
import pytest

from nestbox import wait_until

CAPS = 'grep CapEff /proc/self/status | cut -f2'


@pytest.mark.parametrize('options, mask', [
    ([], '00000000a80425fb'),
    (['--cap-drop', 'ALL'], '0000000000000000'),
    (['--cap-drop', 'ALL', '--cap-add', 'net_bind_service'], '0000000000000400'),
    (['--cap-add', 'CAP_NET_ADMIN', '--cap-drop', 'CHOWN'], '00000000a80435fa'),
], ids=str)
def test_capabilities(nb, options, mask):
    assert nb.ok('run', '--rm', *options, 'busybox', 'sh', '-c', CAPS).text == mask


def test_an_exec_begins_from_the_box_s(nb):
    box = nb.running_box('--cap-drop', 'ALL', '--cap-add', 'KILL', '--ulimit', 'nofile=77:88', '--security-opt', 'no-new-privileges')
    assert box.sh(CAPS + '; ulimit -Sn; ulimit -Hn; grep NoNewPrivs /proc/self/status').lines == \
        ['0000000000000020', '77', '88', 'NoNewPrivs:\t1']
    inspected = box.inspect()
    assert (inspected['cap_add'], inspected['cap_drop'], inspected['ulimits']) == (['KILL'], ['ALL'], ['nofile=77:88'])
    assert inspected['no_new_privileges'] is True and inspected['timeout_ms'] is None


@pytest.mark.parametrize('options, named', [
    (['--cap-add', 'FLY'], "'FLY'"),
    (['--cap-drop', ''], "''"),
    (['--ulimit', 'nofile'], "'nofile'"),
    (['--ulimit', 'nofile=5:4'], "'nofile=5:4'"),
    (['--security-opt', 'seccomp=unconfined'], "'seccomp=unconfined'"),
], ids=str)
def test_words_that_are_none_are_named(nb, options, named):
    result = nb.run('run', '--rm', *options, 'busybox', 'true')
    assert result.code == 125 and named in result.err, result
    assert nb.ok('ps', '-aq').out == b''


def test_a_detached_box_s_timeout_ends_it(nb):
    nb.ok('run', '-d', '--name', 'timed', '--timeout', '1s', 'busybox', 'sleep', '1000')
    wait_until('its end', lambda: nb.state('timed') == 'stopped')
    inspected = nb.inspect('timed')
    assert (inspected['exit_code'], inspected['timed_out'], inspected['timeout_ms'], inspected['cause']) == (137, True, 1000, 'exit')

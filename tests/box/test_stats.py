# SPDX-License-Identifier: Apache-2.0
"""nestbox stats: what running boxes use, measured where it is."""
import json
import signal

from nestbox import wait_until

MIB = 1 << 20


def stats(nb, *boxes):
    return json.loads(nb.ok('stats', '--no-stream', '--format', 'json', *boxes).out)


def test_what_passed_is_counted(nb):
    box = nb.running_box()
    first = stats(nb, 'box')[0]
    assert (first['id'], first['name']) == (box.inspect()['id'], 'box')
    assert (first['commands_executed_total'], first['exec_errors_total'], first['bytes_sent_total']) == (1, 0, 0)
    for _ in range(3):
        box.exec('echo', 'seven!')
    assert box.exec('no such program').code == 127
    assert box.exec('cat', options=('-i',), input=b'x' * 100_000).out == b'x' * 100_000
    then = stats(nb, 'box')[0]
    assert then['commands_executed_total'] == 5 and then['exec_errors_total'] == 1
    assert then['bytes_sent_total'] == 100_000
    assert then['bytes_received_total'] == 100_000 + 3 * len('seven!\n')


def test_processor_memory_and_processes_are_the_guest_s(nb):
    box = nb.running_box('-m', '256m', '--pids-limit', '100')
    idle = stats(nb)[0]
    assert idle['memory_limit_bytes'] == 256 * MIB and idle['processes_limit'] == 100 and idle['processes'] == 1
    assert box.sh('head -c 67108864 /dev/zero >/dev/shm/held').code == 0
    busy = [box.popen('sh', '-c', 'while :; do :; done'), box.popen('sleep', '1000')]
    wait_until('they run', lambda: stats(nb)[0]['processes'] == 3)
    then = stats(nb)[0]
    assert 64 * MIB <= then['memory_bytes'] - idle['memory_bytes'] < 80 * MIB
    assert then['cpu_percent'] > 5 and then['cpu_time_us'] > idle['cpu_time_us']
    assert then['machine_cpu_time_us'] > 0 and then['machine_memory_bytes'] > 64 * MIB
    assert 0 < then['shim_memory_bytes'] < 32 * MIB
    for client in busy:
        client.kill()
        box.finish(client)


def test_the_table_names_the_boxes_that_run(nb):
    nb.running_box(name='one')
    nb.running_box(name='two')
    nb.ok('create', '--name', 'still', 'busybox')
    lines = nb.ok('stats', '--no-stream').lines
    assert lines[0].split()[:2] == ['BOX', 'ID']
    assert sorted(line.split()[1] for line in lines[1:]) == ['one', 'two']
    assert [line.split()[1] for line in nb.ok('stats', '--no-stream', 'two').lines[1:]] == ['two']


def test_who_asks_at_once_is_told_at_once(nb):
    nb.running_box()
    for client in [nb.popen('stats', '--no-stream', '--format', 'json', 'box') for _ in range(12)]:
        result = nb.finish(client)
        assert result.code == 0 and json.loads(result.out)[0]['name'] == 'box', result


def test_a_box_that_does_not_run_is_an_error(nb):
    nb.ok('create', '--name', 'still', 'busybox')
    result = nb.run('stats', 'still')
    assert result.code == 1 and "'still'" in result.err and 'not running' in result.err, result
    assert nb.run('stats', 'nobody').code == 1
    assert nb.ok('stats', '--no-stream', '--format', 'json').text == '[]'


def test_it_goes_on_until_the_box_ends_or_it_is_interrupted(nb):
    nb.running_box()
    watching = [nb.popen('stats', 'box'), nb.popen('stats')]
    for client in watching:
        assert client.stdout.readline().startswith(b'BOX ID')
        assert b'box' in client.stdout.readline()
        assert client.stdout.readline().startswith(b'BOX ID')
    watching[1].send_signal(signal.SIGINT)
    assert nb.finish(watching[1]).code == -signal.SIGINT
    nb.ok('stop', '-t', '0', 'box')
    assert nb.finish(watching[0]).code == 0

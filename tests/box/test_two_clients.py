# SPDX-License-Identifier: Apache-2.0
"""Two programs, one home, the same moment."""
import concurrent.futures
import itertools
import threading

import pytest

import processes
from nestbox import SOAKING, rounds


def both(nb, first, second):
    """Runs two commands at once."""
    clients = [nb.popen(*words) for words in (first, second)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(nb.finish, clients))


def machine_count(homes):
    return sum(process in homes.new_processes() for process in processes.machines())


def test_s32_two_starts_of_one_box_make_one_machine(homes, nb):
    nb.ok('create', '--name', 'b', '--stop-timeout', '1', 'busybox', 'sleep', '1000')
    for _ in range(rounds(3, 50)):
        results = both(nb, ['start', 'b'], ['start', 'b'])
        assert 0 in [result.code for result in results], results
        assert (nb.state('b'), machine_count(homes)) == ('running', 1), results
        nb.ok('stop', '-t', '0', 'b')


def test_s32_one_name_is_given_once(nb):
    nb.ok('images')
    for _ in range(rounds(3, 50)):
        results = both(nb, ['create', '--name', 'b', 'busybox', 'true'], ['create', '--name', 'b', 'busybox', 'true'])
        assert sorted(result.code for result in results) == [0, 1], results
        assert "'b'" in results[0].err + results[1].err and len(nb.boxes()) == 1
        nb.ok('rm', 'b')


def test_s32_one_image_made_twice_at_once_is_one_image(nb):
    results = both(nb, ['create', 'busybox', 'true'], ['create', 'busybox', 'true'])
    assert [result.code for result in results] == [0, 0], results
    assert len(nb.json('images', '--format', 'json')) == 1 and len(nb.boxes()) == 2


def test_s32_rm_against_exec(homes, nb):
    for _ in range(rounds(2, 50)):
        nb.running_box(name='b')
        removed, executed = both(nb, ['rm', '-f', 'b'], ['exec', 'b', 'sleep', '1000'])
        # It came too late, or the box was ended under it; or it ran, and its own end, killed with the box, was still told.
        assert removed.code == 0 and executed.code in (125, 137), (removed, executed)
        assert nb.boxes() == [] and homes.new_processes() == []


def test_s32_stop_against_start(homes, nb):
    nb.running_box('--stop-timeout', '1', name='b')
    for _ in range(rounds(2, 50)):
        both(nb, ['stop', 'b'], ['start', 'b'])
        state = nb.state('b')
        assert (state, machine_count(homes)) in (('running', 1), ('stopped', 0))
        nb.ok('start', 'b')
        assert nb.ok('exec', 'b', 'echo', 'hi').text == 'hi'


def many(nb, commands):
    clients = [nb.popen(*words) for words in commands]
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        results = list(pool.map(nb.finish, clients))
    assert [result.code for result in results] == [0] * len(clients), [result for result in results if result.code != 0]


def test_s32_many_make_boxes_in_a_new_home_at_once(nb):
    many(nb, [['create', '--name', f'b{i}', 'busybox', 'true'] for i in range(8)])
    assert sorted(box['name'] for box in nb.boxes()) == [f'b{i}' for i in range(8)]


def test_s32_many_open_a_new_home_at_once(homes):
    # A database that eight programs were making at once was now and then said to be locked.
    for number in range(rounds(30, 300)):
        many(homes.make(f'home{number}'), [['ps']] * 8)


def test_boxes_of_one_home_start_at_once(homes, nb):
    results = both(nb, ['run', '-d', '--name', 'one', 'busybox', 'sleep', '1000'], ['run', '-d', '--name', 'two', 'busybox', 'sleep', '1000'])
    assert [result.code for result in results] == [0, 0] and machine_count(homes) == 2, results
    assert [nb.ok('exec', name, 'hostname').code for name in ('one', 'two')] == [0, 0]


# What can be asked of a box by its name.
REQUESTS = {
    'start': ['start', 'b'], 'stop': ['stop', '-t', '0', 'b'], 'restart': ['restart', '-t', '0', 'b'], 'kill': ['kill', 'b'],
    'rm': ['rm', 'b'], 'rm -f': ['rm', '-f', 'b'], 'rename': ['rename', 'b', 'b'], 'exec': ['exec', 'b', 'true'], 'exec -d': ['exec', '-d', 'b', 'sleep', '5'],
    'wait': ['wait', 'b'], 'logs': ['logs', 'b'], 'inspect': ['inspect', 'b'], 'top': ['top', 'b'], 'stats': ['stats', '--no-stream', 'b'],
    'cp': ['cp', 'b:/etc/passwd', '-'], 'update': ['update', '--tmpfs-add', '/t', 'b'], 'commit': ['commit', 'b'], 'ps': ['ps', '-a'],
}
PAIRS = list(itertools.combinations_with_replacement(REQUESTS, 2))


@pytest.mark.parametrize('first,second', PAIRS if SOAKING else PAIRS[3::14])
@pytest.mark.parametrize('before', ['running', 'stopped'])
def test_s32_any_two_requests_at_once_leave_a_box_in_order(homes, nb, first, second, before):
    nb.running_box(name='b')
    if before == 'stopped':
        nb.ok('stop', '-t', '0', 'b')
    ends = threading.Timer(20, lambda: nb.run('kill', 'b'))  # who waits for its end is not to wait for ever
    ends.start()
    for result in both(nb, REQUESTS[first], REQUESTS[second]):
        assert result.code in (0, 1, 2, 125, 137), result
        assert 'Traceback' not in result.err and 'database is locked' not in result.err
    ends.cancel()
    left = [box['state'] for box in nb.boxes()]
    assert len(left) <= 1 and set(left) <= {'running', 'stopping', 'stopped', 'starting'}
    assert machine_count(homes) <= 1
    if left:
        nb.ok('rm', '-f', 'b')
    assert nb.boxes() == [] and homes.new_processes() == []

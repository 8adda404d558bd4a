# SPDX-License-Identifier: Apache-2.0
"""Many execs of one box at once: nothing crossed, nothing lost, nothing hung."""
import concurrent.futures

import pytest

from nestbox import rounds


def at_once(box, calls):
    """Runs (script, argument) pairs at once and returns their results in order."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: box.sh(*call), calls))


def told_apart(results):
    return [(result.code, result.out, result.err) for result in results]


def check_round(box, count, number):
    script = 'echo "out $1"; echo "err $1" >&2; exit ${1##*-}'
    calls = [(script, f'{number}-{i % 200}') for i in range(count)]
    expected = [(i % 200, f'out {number}-{i % 200}\n'.encode(), f'err {number}-{i % 200}\n') for i in range(count)]
    assert told_apart(at_once(box, calls)) == expected
    assert box.exec('echo', 'still here').out == b'still here\n'


def test_s07_sixteen_at_once_on_one_processor(box):
    for number in range(rounds(4, 100)):
        check_round(box, 16, number)


def test_s07_many_at_once_on_two_processors(nb):
    box = nb.running_box('--cpus', '2')
    assert box.exec('nproc').text == '2'
    for number in range(rounds(4, 100)):
        check_round(box, 16, number)
    for number in range(rounds(1, 100)):
        check_round(box, 64, number)


@pytest.mark.parametrize('count', [64, 256])
def test_s07_many_at_once(box, count):
    for number in range(rounds(1, 100 if count == 64 else 10)):
        check_round(box, count, number)


def test_s17_bursts_with_a_calm_between(box):
    for number in range(3):
        check_round(box, 8, number)
    for number in range(10):
        assert box.exec('echo', str(number)).text == str(number)
    check_round(box, 8, 9)


def test_s17_one_killed_among_seven_that_are_not(box):
    results = at_once(box, [('echo $1', str(i)) for i in range(7)] + [('kill -9 $$',)])
    assert told_apart(results) == [(0, f'{i}\n'.encode(), '') for i in range(7)] + [(137, b'', '')]


def test_s17_statuses_stay_with_their_commands(box):
    codes = [0, 0, 0, 1, 0, 0, 1, 0]
    assert [result.code for result in at_once(box, [('exit $1', str(code)) for code in codes])] == codes


def test_s17_the_fast_do_not_wait_for_the_slow(box):
    slow = [box.popen('sh', '-c', 'echo up; exec sleep 1000') for _ in range(4)]
    assert [client.stdout.readline() for client in slow] == [b'up\n'] * 4, 'before that a signal ends the client alone'
    assert told_apart(at_once(box, [('echo $1', str(i)) for i in range(4)])) == [(0, f'{i}\n'.encode(), '') for i in range(4)]
    assert [client.poll() for client in slow] == [None] * 4
    for client in slow:
        client.terminate()
    assert [box.finish(client).code for client in slow] == [143] * 4


def test_s17_a_failed_spawn_harms_no_other(box):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        commands = [['echo', str(i)] if i % 2 else ['nope'] for i in range(8)]
        results = list(pool.map(lambda command: box.exec(*command), commands))
    assert [result.code for result in results] == [127, 0] * 4
    assert [result.out for result in results[1::2]] == [b'1\n', b'3\n', b'5\n', b'7\n']

# SPDX-License-Identifier: Apache-2.0
"""nestbox exec -d: started and left, told of by inspect."""
import re

from nestbox import wait_until


def find_exec(box, ident):
    return next(found for found in box.inspect()['execs'] if found['id'] == ident)


def ended_exec(box, ident):
    wait_until('its end', lambda: not find_exec(box, ident)['running'])
    return find_exec(box, ident)


def test_its_id_is_printed_and_its_status_kept(nb):
    box = nb.running_box()
    result = box.exec('sh', '-c', 'echo unseen; while ! [ -e /go ]; do sleep 0.05; done; exit 9', options=['-d'])
    assert result.code == 0 and result.err == '' and re.fullmatch('[a-z2-7]{12}', result.text), result
    running = find_exec(box, result.text)
    assert (running['running'], running['attached'], running['tty']) == (True, False, False)
    assert (running['exit_code'], running['finished_at']) == (None, None)
    assert running['command'][:2] == ['sh', '-c'] and running['pid'] > 1
    assert box.exec('touch', '/go').code == 0
    ended = ended_exec(box, result.text)
    assert (ended['exit_code'], ended['exit_signal'], ended['timed_out'], ended['oom_killed']) == (9, None, False, False)
    assert ended['finished_at'] >= ended['started_at'] and ended['max_rss_bytes'] > 0
    nb.ok('stop', '-t', '0', box.name)
    assert find_exec(box, result.text) == ended


def test_what_cannot_run_is_told_at_once(box):
    before = box.inspect()['execs']
    assert box.exec('nope', options=['-d']).code == 127
    assert box.inspect()['execs'] == before


def test_a_terminal_needs_no_terminal_of_ours(box):
    ident = box.exec('sh', '-c', 'test -t 0 && exit 5', options=['-d', '-t']).text
    ended = ended_exec(box, ident)
    assert (ended['tty'], ended['exit_code']) == (True, 5)


def test_a_status_of_zero_and_none_differ(nb):
    box = nb.running_box()
    zero = box.exec('true', options=['-d']).text
    killed = box.exec('sleep', '1000', options=['-d']).text
    ended_exec(box, zero)
    nb.ok('stop', '-t', '0', box.name)
    assert find_exec(box, zero)['exit_code'] == 0
    assert find_exec(box, killed)['exit_code'] in (None, 137, 143)  # cut off with the box, or ended just before


def test_a_stop_lets_execs_end_in_order(nb):
    box = nb.running_box()
    ident = box.exec('sh', '-c', 'trap "sleep 1; exit 8" TERM; touch /ready; while :; do sleep 0.1; done', options=['-d']).text
    wait_until('the trap', lambda: box.exec('test', '-e', '/ready').code == 0)
    nb.ok('stop', box.name)
    assert find_exec(box, ident)['exit_code'] in (8, None)  # None: the main command was gone first, and the box with it

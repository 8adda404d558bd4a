# SPDX-License-Identifier: Apache-2.0
"""ps, inspect, logs: what is told about boxes, for people and for programs."""
import json
import re

import pytest

from nestbox import ROOT, wait_until


def documented_keys(heading):
    """The keys of a table in docs/json.md."""
    section = (ROOT / 'docs' / 'json.md').read_text().split(f'\n## {heading}')[1].split('\n## ')[0]
    return {key for row in re.findall(r'^\| (`[^|]*) \|', section, re.M) for key in re.findall('`([^`]*)`', row)}


@pytest.fixture(scope='module')
def listed(module_homes):
    """A home with one running and two other boxes."""
    nb = module_homes.make('listed')
    nb.ok('create', '--name', 'never', '--label', 'app=web', '--label', 'tier', 'busybox', 'echo', 'x')
    nb.run('run', '--name', 'ended', '--label', 'app=db', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3')
    nb.running_box('--label', 'app=web', name='running')
    return nb


def names(nb, *args):
    return [box['name'] for box in nb.json('ps', '--format', 'json', *args)]


def test_ps_shows_what_runs(listed):
    heading, *rows = listed.ok('ps').lines
    assert re.split('  +', heading) == ['BOX ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'NAME']
    assert len(rows) == 1 and 'running' in rows[0] and 'busybox' in rows[0] and 'sleep 100000' in rows[0]


def test_ps_a_shows_all_newest_first(listed):
    assert names(listed, '-a') == ['running', 'ended', 'never']
    rows = listed.ok('ps', '-a').lines[1:]
    assert [row.split()[-1] for row in rows] == ['running', 'ended', 'never'] and '3' in rows[1], rows


def test_ls_is_ps(listed):
    assert listed.ok('ls', '-a').lines[0].split() == listed.ok('ps', '-a').lines[0].split()


def test_ps_q_prints_ids(listed):
    ids = [box['id'] for box in listed.boxes()]
    assert listed.ok('ps', '-aq').lines == ids and listed.ok('ps', '-q').lines == ids[:1]


@pytest.mark.parametrize('filters,expected', [
    (['name=e'], ['ended', 'never']), (['name=run', 'name=nev'], ['running', 'never']), (['name=nothing'], []),
    (['status=running'], ['running']), (['status=stopped'], ['ended']), (['status=created', 'status=running'], ['running', 'never']),
    (['label=app'], ['running', 'ended', 'never']), (['label=app=web'], ['running', 'never']), (['label=app=web', 'label=tier'], ['never']),
    (['label=app=web', 'status=running'], ['running']),
])
def test_ps_filters(listed, filters, expected):
    assert names(listed, '-a', *(word for filter in filters for word in ('--filter', filter))) == expected


@pytest.mark.parametrize('words', [['--filter', 'nosuch=x'], ['--filter', 'status=sleeping'], ['--filter', 'name'], ['--format', 'xml'],
                                   ['-q', '--format', 'json'], ['surplus']])
def test_ps_used_wrongly_is_2(listed, words):
    result = listed.run('ps', *words)
    assert (result.code, result.out) == (2, b'') and result.err.startswith('nestbox: ps: ') and 'hint: ' in result.err, result


def test_json_of_a_box_has_the_documented_keys(listed):
    for box in listed.boxes():
        assert set(box) == documented_keys('Boxes')


def test_json_tells_no_status_from_status_0(listed):
    by_name = {box['name']: box for box in listed.boxes()}
    assert [by_name[name]['exit_code'] for name in ('never', 'ended', 'running')] == [None, 3, None]
    assert [by_name[name]['oom_killed'] for name in ('never', 'ended', 'running')] == [None, False, None]
    assert [by_name[name]['cause'] for name in ('never', 'ended', 'running')] == [None, 'exit', None]


def test_json_of_a_box_says_what_it_was_made_of(listed):
    box = listed.inspect('never')
    assert (box['image'], box['command'], box['labels']) == ('busybox', ['echo', 'x'], {'app': 'web', 'tier': ''})
    assert re.fullmatch('sha256:[0-9a-f]{64}', box['image_id'])
    assert (box['memory_bytes'], box['disk_bytes'], box['cpus'], box['pids_max']) == (256 << 20, 10 << 30, 1, 4096)
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', box['created_at'])


def test_json_of_a_running_box_has_its_timing(listed):
    box = listed.inspect('running')
    assert box['accelerator'] in ('kvm', 'tcg')
    assert sum(us for step, us in box['timing'].items() if step != 'total_us') == box['timing']['total_us'] > 0


def test_inspect_prints_what_it_finds_and_fails_for_the_rest(listed):
    result = listed.run('inspect', 'never', 'nowhere', 'running')
    assert result.code == 1 and "'nowhere'" in result.err, result
    assert [box['name'] for box in json.loads(result.out)] == ['never', 'running']


def test_logs_keep_the_streams_apart(listed):
    result = listed.ok('logs', 'ended')
    assert (result.out, result.err) == (b'out\n', 'err\n')


def test_logs_of_what_never_ran_are_empty(listed):
    assert (listed.ok('logs', 'never').out, listed.ok('logs', '--console', 'never').out) == (b'', b'')


def test_logs_of_the_console_are_the_kernel_s(listed):
    assert listed.ok('logs', '--console', 'running').code == 0


def test_logs_last_lines_and_times(nb):
    nb.run('run', '--name', 'b', 'busybox', 'sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done; printf rest')
    assert nb.ok('logs', 'b').out == b'line 1\nline 2\nline 3\nline 4\nline 5\nrest'
    assert nb.ok('logs', '-n', '2', 'b').out == b'line 5\nrest'
    assert nb.ok('logs', '-n', '0', 'b').out == b''
    assert nb.ok('logs', '--tail', 'all', 'b').out.startswith(b'line 1\n')
    assert re.fullmatch(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z line \d\n){5}\S+Z rest', nb.ok('logs', '-t', 'b').out.decode())
    assert nb.ok('logs', '--since', '1h', 'b').out.count(b'\n') == 5
    assert nb.ok('logs', '--since', '2099-01-01T00:00:00Z', 'b').out == b''


def test_logs_are_of_the_last_start(nb):
    nb.ok('create', '--name', 'b', 'busybox', 'sh', '-c', 'echo $(cat /count 2>/dev/null); echo x >>/count')
    nb.ok('start', '-a', 'b')
    nb.ok('start', '-a', 'b')
    assert nb.ok('logs', 'b').out == b'x\n'


def test_logs_of_a_detached_box_grow_while_it_runs(nb):
    box = nb.running_box(command=('sh', '-c', 'echo one; until [ -e /go ]; do sleep 0.1; done; echo two; sleep 1000'))
    wait_until('its first line', lambda: nb.ok('logs', 'box').out == b'one\n')
    box.exec('touch', '/go')
    wait_until('its second line', lambda: nb.ok('logs', 'box').out == b'one\ntwo\n')


def test_logs_are_followed_until_the_box_has_stopped(nb):
    box = nb.running_box(command=('sh', '-c', 'echo one; until [ -e /go ]; do sleep 0.1; done; echo two; echo err >&2; sleep 1; exit 3'))
    follower = nb.popen('logs', '-f', 'box')
    assert follower.stdout.readline() == b'one\n'
    late = nb.popen('logs', '-f', '-n', '0', 'box')
    box.exec('touch', '/go')
    assert follower.stdout.readline() == b'two\n'
    result = nb.finish(follower)
    assert (result.code, result.out, result.err) == (0, b'', 'err\n')
    result = nb.finish(late)
    assert (result.code, result.out, result.err) == (0, b'two\n', 'err\n')
    assert nb.ok('logs', '-f', 'box').out == b'one\ntwo\n'


def test_logs_that_are_followed_lose_nothing_when_they_are_moved_aside(nb):
    box = nb.running_box(command=('sh', '-c', 'until [ -e /go ]; do sleep 0.1; done; seq 2000000'))
    follower = nb.popen('logs', '-f', 'box')
    box.exec('touch', '/go')
    out = nb.finish(follower, timeout=120).out
    assert len(out) == sum(len(str(n)) + 1 for n in range(1, 2000001)) and out.endswith(b'\n2000000\n') and out.startswith(b'1\n2\n')


def test_a_follower_is_told_of_the_end_of_a_box_that_is_killed_or_removed(nb):
    for way in (('kill', 'box'), ('rm', '-f', 'box')):
        nb.running_box(command=('sh', '-c', 'echo one; sleep 1000'))
        follower = nb.popen('logs', '-f', 'box')
        assert follower.stdout.readline() == b'one\n'
        nb.ok(*way)
        assert nb.finish(follower, timeout=20).code == 0
        nb.run('rm', 'box')


def test_logs_keep_every_byte(nb):
    sent = bytes(range(256)) * 4000
    assert nb.run('run', '-i', '--name', 'b', 'busybox', 'cat', input=sent).out == sent
    assert nb.ok('logs', 'b').out == sent


@pytest.mark.parametrize('words,code', [(['logs'], 2), (['logs', 'a', 'b'], 2), (['logs', 'nowhere'], 1), (['logs', '-f', '--console', 'ended'], 2),
                                        (['logs', '-n', 'x', 'ended'], 2), (['logs', '--since', 'x', 'ended'], 2), (['inspect'], 2)])
def test_logs_and_inspect_used_wrongly(listed, words, code):
    result = listed.run(*words)
    assert (result.code, result.out) == (code, b'') and result.err.startswith(f'nestbox: {words[0]}: '), result

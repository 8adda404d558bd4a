# SPDX-License-Identifier: Apache-2.0
"""nestbox top: the processes of a box, as the box sees them."""
from nestbox import rounds, wait_until


def commands(box):
    return [process['command'] for process in box.nestbox.json('top', '--format', 'json', box.name)]


def test_processes_are_told_with_the_box_s_numbers(anyone):
    box = anyone.running_box()
    user = box.popen('sh', '-c', 'sleep 1000 & echo $$; read x', options=['-i', '-u', '1234'], stdin=-1)
    shell = int(user.stdout.readline())
    found = {process['pid']: process for process in anyone.json('top', '--format', 'json', 'box')}
    assert found[1]['command'] == 'sleep 100000' and found[1]['parent'] is None and found[1]['user'] == 0
    assert found[shell]['command'].startswith('sh -c sleep 1000') and found[shell]['user'] == 1234 and found[shell]['state'] == 'S'
    assert [process['command'] for process in found.values() if process['parent'] == shell] == ['sleep 1000']
    assert len(found) == 3  # whoever tells is not among them
    lines = anyone.ok('top', 'box').lines
    assert lines[0].split() == ['UID', 'PID', 'PPID', 'S', 'ELAPSED', 'TIME', 'COMMAND'] and len(lines) == 4
    user.communicate(b'\n', timeout=60)


def test_an_image_without_ps_has_a_top(nb):
    box = nb.running_box()
    box.sh('rm -rf /bin/ps /bin/top /usr/bin/*')
    assert commands(box) == ['sleep 100000']


def test_time_states_and_odd_words_are_told(nb):
    box = nb.running_box()
    box.exec('sh', '-c', 'while :; do :; done', 'sp ace', 'new\nline', options=['-d'])
    box.exec('sleep', '100', options=['-d'])
    busy, stopped = 'sh -c while :; do :; done sp ace new\nline', 'sleep 100'

    def found():
        return {process['command']: process for process in nb.json('top', '--format', 'json', 'box')}
    box.exec('kill', '-STOP', str(wait_until('both run', lambda: {busy, stopped} <= found().keys() and found()[stopped]['pid'])))

    def seen():
        return found()[busy]['cpu_time_us'] > 0 and found()[stopped]['state'] == 'T'
    wait_until('one has used time and one is stopped', seen)
    assert 'new\\nline' in nb.ok('top', 'box').out.decode()  # in one line


def test_many_processes(nb):
    count = rounds(300, 3000)
    box = nb.running_box()
    box.exec('sh', '-c', f'i=0; while [ $i -lt {count} ]; do sleep 1000 & i=$((i+1)); done; wait', options=['-d'])
    wait_until('all of them run', lambda: commands(box).count('sleep 1000') == count)


def test_a_box_that_does_not_run_has_no_processes(nb):
    nb.ok('create', '--name', 'box', 'busybox')
    result = nb.run('top', 'box')
    assert result.code == 1 and 'not running' in result.err, result

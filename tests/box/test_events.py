# SPDX-License-Identifier: Apache-2.0
"""nestbox events: what happens in a home is told, in order, to who watches and to who asks later."""
import json
import signal
import threading
import time

import pytest

import processes
from nestbox import rounds, wait_until
from test_lists import documented_keys

# As the library has it: the log is moved aside when it has so much.
LOG_MAX_BYTES = 4 << 20


def told(nb, *options):
    return [json.loads(line) for line in nb.ok('events', '--no-stream', '--format', 'json', *options).lines]


def actions(nb, box, *options):
    return [event['event'] for event in told(nb, '--filter', f'box={box}', *options)]


def only(events, action):
    found = [event for event in events if event['event'] == action]
    assert len(found) == 1, events
    return found[0]


class Watch:
    """`nestbox events` while it runs."""

    def __init__(self, nb, *options):
        self.process = nb.popen('events', '--format', 'json', *options, stderr=None)
        self.events = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        # It has begun when it tells of something that nobody else sees.
        probes = iter(range(1000))

        def begun():
            nb.ok('volume', 'create', f'probe{next(probes)}')
            return self.events
        if not options:
            wait_until('events are told', begun)

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait_for(self, action):
        wait_until(f'{action} is told', lambda: [event for event in self.events if event['event'] == action])

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        self.reader.join(60)
        self.process.stdout.close()
        assert failure[0] or status == -signal.SIGINT


def test_the_life_of_a_box(anyone):
    box = anyone.running_box('--label', 'team=a b', name='web')
    identity = box.inspect()['id']
    assert box.exec('sh', '-c', 'exit 7').code == 7
    anyone.ok('rename', 'web', 'shop')
    anyone.ok('kill', '-s', 'USR1', 'shop')
    anyone.ok('stop', '-t', '0', 'shop')
    anyone.ok('start', 'shop')
    anyone.ok('rm', '-f', 'shop')
    events = told(anyone, '--filter', f'box={identity}')
    assert [event['event'] for event in events] == [
        'create', 'starting', 'start', 'exec', 'exec_die', 'rename', 'kill', 'stopping', 'die', 'stop', 'starting', 'start', 'stopping',
        'die', 'stop', 'remove']
    assert all(event['type'] == 'box' and event['id'] == identity and event['image'] == 'busybox' for event in events)
    assert all(event['labels'] == {'team': 'a b'} for event in events)
    assert {event['name'] for event in events[:5]} == {'web'} and {event['name'] for event in events[5:]} == {'shop'}
    begun, ended = only(events, 'exec'), only(events, 'exec_die')
    assert begun['attributes'] == {'exec_id': ended['attributes']['exec_id'], 'command': 'sh -c exit 7'}
    assert ended['attributes']['exit_code'] == '7' and 'signal' not in ended['attributes']
    assert only(events, 'kill')['attributes'] == {'signal': 'USR1'}
    assert [event['attributes'] for event in events if event['event'] == 'die'] == [{'exit_code': '137', 'signal': 'KILL'}] * 2
    assert [event['attributes'] for event in events if event['event'] == 'stop'] == [{'cause': 'stop'}] * 2
    assert [event['time'] for event in events] == sorted(event['time'] for event in events)


def test_the_shape_is_documented(nb):
    nb.ok('create', '--name', 'web', 'busybox')
    event = only(told(nb), 'create')
    assert set(event) == documented_keys('Events')


def test_who_watches_is_told_at_once(nb):
    with Watch(nb) as watch:
        nb.ok('run', '--rm', '--name', 'web', 'busybox', 'true')
        watch.wait_for('remove')
        seen = [event['event'] for event in watch.events if event['type'] == 'box']
        assert seen == ['create', 'starting', 'start', 'die', 'stopping', 'stop', 'remove'] == actions(nb, 'web')


def test_a_line_says_it_in_words(nb):
    nb.ok('create', '--name', 'web', '--label', 'note=two\nlines', 'busybox')
    line, = [line for line in nb.ok('events', '--no-stream').lines if ' create ' in line]
    assert line.endswith(r' (note=two\nlines, image=busybox, name=web)') and ' box create ' in line


def test_times_choose(nb):
    def volume_names(*options):
        return [event['id'] for event in told(nb, '--filter', 'type=volume', *options)]
    nb.ok('volume', 'create', 'one')
    time.sleep(0.01)
    between = told(nb)[-1]['time']
    time.sleep(0.01)
    nb.ok('volume', 'create', 'two')
    assert volume_names() == ['one', 'two']
    assert volume_names('--since', between) == ['one', 'two']  # to the millisecond, which is its own
    later = told(nb)[-1]['time']
    assert volume_names('--since', later) == ['two'] and volume_names('--until', between) == ['one']
    assert volume_names('--since', '1h') == ['one', 'two'] and volume_names('--until', '1h') == []
    # A time that has passed ends the stream.
    assert len(nb.ok('events', '--until', between).lines) == 1
    # One that is still to come does so when it has.
    ending = nb.popen('events', '--since', later, '--until', str(int(time.time()) + 3))
    nb.ok('volume', 'create', 'three')
    result = nb.finish(ending)
    assert result.code == 0 and [line.split()[3] for line in result.lines] == ['two', 'three']


def test_filters_choose(nb):
    nb.ok('create', '--name', 'a', '--label', 'tier=web', 'busybox')
    nb.ok('create', '--name', 'b', '--label', 'tier=db', 'busybox')
    nb.ok('tag', 'busybox', 'tool')
    nb.ok('create', '--name', 'c', 'tool')
    nb.ok('volume', 'create', 'data')
    nb.ok('rm', 'b')

    def names(*filters):
        options = [word for filter in filters for word in ('--filter', filter)]
        return [(event['event'], event['name'] or event['id']) for event in told(nb, *options)]
    assert names('box=a') == [('create', 'a')]
    assert names('box=a', 'box=b') == [('create', 'a'), ('create', 'b'), ('remove', 'b')]
    assert names('box=b', 'event=remove') == [('remove', 'b')]
    assert names('label=tier') == [('create', 'a'), ('create', 'b'), ('remove', 'b')]
    assert names('label=tier=db') == [('create', 'b'), ('remove', 'b')]
    assert names('image=tool') == [('tag', 'tool:latest'), ('create', 'c')]
    assert names('type=volume') == names('volume=data') == [('create', 'data')]
    assert names('event=import') == [('import', 'busybox')]
    assert names('box=nobody') == []
    identity = nb.inspect('c')['id']
    assert names(f'box={identity}') == names(f'box={identity[:6]}') == [('create', 'c')]
    assert names(f'box={identity[:3]}') == []  # such a short one might be another's too


@pytest.mark.parametrize('options,named', [
    (['--since', 'yesterday'], '--since'), (['--until', '-1'], '--until'), (['--filter', 'colour=red'], '--filter'),
    (['--filter', 'box='], '--filter'), (['--format', 'xml'], '--format'), (['extra'], 'arguments')])
def test_wrong_usage_is_named(nb, options, named):
    result = nb.run('events', *options)
    assert result.code == 2 and named in result.err, result


def test_images_and_volumes_are_told(nb, tmp_path):
    nb.ok('create', '--name', 'box', 'busybox')
    nb.ok('commit', 'box', 'copy')
    nb.ok('tag', 'copy', 'other')
    archive = tmp_path / 'copy.tar'
    with archive.open('wb') as file:
        nb.ok('save', 'copy', stdout=file)
    nb.ok('rmi', 'copy')
    nb.ok('rmi', 'other')
    nb.ok('load', '-i', str(archive))
    nb.ok('volume', 'create', 'data')
    nb.ok('volume', 'create', 'data')
    nb.ok('volume', 'rm', 'data')
    found = [(event['type'], event['event'], event['name'] or event['id']) for event in told(nb) if event['type'] != 'box']
    assert found == [('image', 'import', 'busybox'), ('image', 'commit', 'copy:latest'), ('image', 'tag', 'other:latest'),
                     ('image', 'untag', 'copy:latest'), ('image', 'remove', 'other:latest'), ('image', 'load', 'copy:latest'), ('volume', 'create', 'data'), ('volume', 'remove', 'data')]


def test_mounts_are_told(nb, tmp_path):
    nb.ok('create', '--name', 'box', 'busybox')
    nb.ok('update', '--volume-add', f'{tmp_path}:/data', 'box')
    nb.ok('update', '--volume-rm', '/data', 'box')
    events = told(nb, '--filter', 'box=box')
    assert only(events, 'mount')['attributes'] == only(events, 'unmount')['attributes'] == {'target': '/data'}


def test_a_start_that_fails_is_told(nb):
    assert nb.run('run', '--name', 'box', 'busybox', '/no/such/program').code == 127
    events = told(nb, '--filter', 'box=box')
    assert [event['event'] for event in events] == ['create', 'starting', 'fail']
    assert '/no/such/program' in events[-1]['attributes']['message']


def test_a_start_that_had_no_machine_is_told(nb):
    assert nb.run('run', '--name', 'box', 'busybox', 'true', env={'NESTBOX_QEMU': '/no/such/qemu'}).code == 125
    assert actions(nb, 'box') == ['create', 'fail']


def test_ends_by_time_memory_and_signal_are_told(nb):
    box = nb.running_box('-m', '64m')
    assert box.sh('sleep 100', options=['--timeout', '100ms']).code == 124
    assert box.sh('kill -SEGV $$').code == 139
    assert box.sh('x=a; while :; do x=$x$x; done').code == 137
    events = told(nb, '--filter', 'box=box')
    ends = [event['attributes'] for event in events if event['event'] == 'exec_die']
    assert ends[0]['timed_out'] == 'true' and ends[1]['signal'] == 'SEGV' and ends[1]['exit_code'] == '139'
    assert only(events, 'oom')['attributes'] == {'exec_id': ends[2]['exec_id']}


def test_a_crash_is_told_once(nb):
    box = nb.running_box()
    shim = box.inspect()['shim_pid']
    processes.kill([process for process in processes.alive() if process.pid == shim])
    # Whoever looks first finds it out; many look.
    lookers = [nb.popen('ps', '-a') for _ in range(8)]
    for looker in lookers:
        assert nb.finish(looker).code == 0
    events = told(nb, '--filter', 'box=box')
    assert [event['event'] for event in events] == ['create', 'starting', 'start', 'stop']
    assert events[-1]['attributes'] == {'cause': 'crash', 'message': 'its shim was killed'}


def test_a_visit_is_no_event(nb, tmp_path):
    nb.ok('create', '--name', 'box', 'busybox')
    nb.ok('cp', 'box:/etc/passwd', str(tmp_path / 'passwd'))
    assert actions(nb, 'box') == ['create']


def test_copies_and_lists_are_no_execs(nb, tmp_path):
    box = nb.running_box()
    nb.ok('cp', 'box:/etc/passwd', str(tmp_path / 'passwd'))
    nb.ok('top', box.name)
    nb.ok('update', '--volume-add', f'{tmp_path}:/data', 'box')
    assert actions(nb, 'box') == ['create', 'starting', 'start', 'mount']


def fill_log(nb):
    with (nb.home / 'events').open('ab') as log:
        log.write(b'\n' + (b'-' * 127 + b'\n') * (LOG_MAX_BYTES // 128))


def test_a_box_is_known_after_its_making_has_left_the_log(nb):
    nb.ok('create', '--name', 'old', '--label', 'a=b', 'busybox')
    nb.ok('create', '--name', 'gone', 'busybox')
    gone = nb.inspect('gone')['id']
    for name in ('x', 'y'):
        fill_log(nb)
        nb.ok('volume', 'create', name)
    assert 'create' not in {event['event'] for event in told(nb, '--filter', 'type=box')}
    nb.ok('rm', 'gone')
    nb.ok('update', '--tmpfs-add', '/scratch', 'old')
    removed, mounted = told(nb, '--filter', 'type=box')
    assert mounted['name'] == 'old' and mounted['image'] == 'busybox' and mounted['labels'] == {'a': 'b'}
    assert removed['id'] == gone and removed['name'] is None and removed['image'] is None


def test_who_watches_misses_nothing_when_the_log_is_moved_aside(nb):
    count = rounds(3, 30)
    with Watch(nb) as watch:
        for i in range(count):
            fill_log(nb)
            nb.ok('volume', 'create', f'before{i}')
            nb.ok('volume', 'create', f'after{i}')
        wait_until('the last is told', lambda: watch.events and watch.events[-1]['id'] == f'after{count - 1}')
        seen = [event['id'] for event in watch.events if not event['id'].startswith('probe')]
        assert seen == [f'{when}{i}' for i in range(count) for when in ('before', 'after')]
    assert (nb.home / 'events').stat().st_size <= 2 * LOG_MAX_BYTES


def test_many_at_once_lose_nothing(nb):
    box = nb.running_box()
    with Watch(nb) as watch:
        for _ in range(rounds(1, 25)):
            for process in [nb.popen('exec', 'box', 'true') for _ in range(40)]:
                assert nb.finish(process).code == 0
        expected = {execution['id'] for execution in box.inspect()['execs']}
        for action in ('exec', 'exec_die'):
            ids = [event['attributes']['exec_id'] for event in told(nb) if event['event'] == action]
            assert len(ids) == len(set(ids)) and set(ids) == expected
        wait_until('all are told', lambda: sum(event['event'] == 'exec_die' for event in watch.events) == len(expected))


def test_a_damaged_log_is_read_past_the_damage(nb):
    nb.ok('volume', 'create', 'one')
    with (nb.home / 'events').open('ab') as log:
        log.write(b'\x00\xff garbage\n1 box\nx' * 1000 + b'y' * (1 << 20))
    nb.ok('volume', 'create', 'two')
    assert [event['id'] for event in told(nb)] == ['one', 'two']


def test_whoever_stops_reading_ends_it(nb):
    watching = nb.popen('events', '--since', '1h')
    nb.ok('volume', 'create', 'one')
    assert b' volume create one' in watching.stdout.readline()
    watching.stdout.close()

    def has_ended():
        nb.ok('volume', 'create', 'two')
        nb.ok('volume', 'rm', 'two')
        return watching.poll() is not None
    wait_until('it has ended', has_ended)
    assert watching.stderr.read() == b''
    watching.stderr.close()


def test_a_log_that_cannot_be_written_stops_nobody(nb):
    (nb.home).mkdir(parents=True, exist_ok=True)
    nb.ok('ps')
    (nb.home / 'events').mkdir()
    assert nb.ok('run', '--rm', 'busybox', 'echo', 'hello').text == 'hello'
    result = nb.run('events', '--no-stream')
    assert result.code == 1 and 'events' in result.err, result

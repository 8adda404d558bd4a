# SPDX-License-Identifier: Apache-2.0
"""Machines that wait for boxes: that a box has one to itself, that it is like any other then, and that nothing is left of those that wait."""
import concurrent.futures
import os
import pathlib
import re
import signal
import time

import processes
import pytest
from nestbox import OWN_TEMPLATES, rounds, wait_until

WAITED = 'standby: the machine has waited for'


class Pool:
    """What `nestbox standby` keeps, as long as the program runs."""

    def __init__(self, nb, count, *options, image='busybox'):
        self.nestbox, self.count = nb, count
        self.process = nb.popen('standby', '-n', str(count), *options, image)
        self.said = self.process.stdout.readline().decode()
        assert self.said, self.nestbox.finish(self.process)

    def waiting(self):
        return {path.parent for path in (self.nestbox.home / 'standby').glob('*/take.sock')}

    def keeper(self):
        [pid] = [process.pid for process in processes.all_processes()
                 if process.name == 'nestbox-standby' and process.parent in (self.process.pid, os.getpid(), 1) and self.is_ours(process.pid)
                 and not machine_of(process.pid)]
        return pid

    def shims(self):
        """Of those that wait, with their machines."""
        return {process.pid: machine_of(process.pid) for process in processes.all_processes()
                if process.name == 'nestbox-standby' and self.is_ours(process.pid) and machine_of(process.pid)
                and any(os.path.realpath(f'/proc/{process.pid}/fd/{fd}').endswith('/standby') for fd in descriptors(process.pid))
                and not any('/boxes/' in os.path.realpath(f'/proc/{process.pid}/fd/{fd}') for fd in descriptors(process.pid))}

    def is_ours(self, pid):
        return any(os.path.realpath(f'/proc/{pid}/fd/{fd}').startswith(str(self.nestbox.home)) for fd in descriptors(pid))

    def wait_until_full(self):
        wait_until('all wait again', lambda: len(self.waiting()) == self.count)
        return self.shims()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.nestbox.finish(self.process)


def descriptors(pid):
    try:
        return os.listdir(f'/proc/{pid}/fd')
    except OSError:
        return []


def machine_of(pid):
    return next((process.pid for process in processes.all_processes() if process.parent == pid and process.name.startswith('qemu-system')), None)


@pytest.fixture
def pool(filled):
    """A function that makes a pool of a home; all end with the test."""
    pools = []

    def make(count, *options, nb=filled, **how):
        pools.append(Pool(nb, count, *options, **how))
        return pools[-1]
    yield make
    for each in pools:
        if each.process.poll() is None:
            each.end()


def nothing_waits(nb):
    wait_until('nothing is left of it', lambda: not list((nb.home / 'standby').iterdir()))


def shim_log(box):
    return (box.nestbox.home / 'boxes' / box.inspect()['id'] / 'shim.log').read_text()


def has_waited(box):
    return WAITED in shim_log(box)


def test_a_start_takes_one_that_waits_and_another_takes_its_place(filled, pool):
    kept = pool(1)
    assert kept.said == '1 machine waits for a box of busybox\n'
    [machine] = kept.wait_until_full().values()
    box = filled.running_box('--standby')
    assert box.inspect()['machine_pid'] == machine and has_waited(box)
    assert box.sh('echo works; exit 3').code == 3 and box.exec('hostname').text == box.inspect()['id']
    [other] = kept.wait_until_full().values()
    assert other != machine
    second = filled.running_box('--standby', name='second')
    assert second.inspect()['machine_pid'] == other and box.exec('echo', 'still').text == 'still'


def test_run_and_start_take_one_each(filled, pool):
    kept = pool(2)
    assert kept.said == '2 machines wait for boxes of busybox\n'
    assert filled.ok('run', '--standby', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 0').out == b'out\n'
    assert filled.run('run', '--standby', '--rm', 'busybox', 'sh', '-c', 'exit 7').code == 7
    filled.ok('create', '--name', 'made', 'busybox', 'sh', '-c', 'echo main; sleep 100000')
    kept.wait_until_full()
    filled.ok('start', '--standby', 'made')
    assert WAITED in (filled.home / 'boxes' / filled.inspect('made')['id'] / 'shim.log').read_text()
    filled.wait_for_log('made', b'main\n')


def test_what_a_box_is_told_holds_in_a_machine_that_has_waited(filled, pool, files):
    (files / 'given').write_text('from the host')
    pool(1)
    box = filled.running_box('--standby', '-e', 'NAME=value', '-w', '/tmp', '-u', '1000:1000', '--hostname', 'called-so', '-v', f'{files}:/given', '--pids-limit',
                          '20', '--memory', '256m', '--label', 'a=b', command=['sh', '-c', 'echo $NAME; id -u; pwd; sleep 100000'])
    assert has_waited(box)
    filled.wait_for_log('box', b'/tmp\n')
    assert filled.ok('logs', 'box').lines == ['value', '1000', '/tmp']
    assert box.exec('hostname').text == 'called-so' and box.exec('cat', '/given/given').text == 'from the host'
    assert box.exec('cat', '/etc/hostname').text == 'called-so'
    assert box.exec('cat', '/sys/fs/cgroup/pids.max').text == '20' and box.exec('cat', '/sys/fs/cgroup/memory.max').text == str(256 << 20)


def test_no_two_are_alike_in_what_must_differ(filled, pool):
    kept = pool(3)
    kept.wait_until_full()
    boxes = [filled.running_box('--standby', name=name) for name in 'abc']
    assert all(has_waited(box) for box in boxes)
    said = [box.sh('cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; head -c 32 /dev/urandom | md5sum; hostname; mktemp -u')
            for box in boxes]
    for values in zip(*(result.lines for result in said)):
        assert len(set(values)) == 3, values
    assert all(abs(int(box.exec('date', '+%s').text) - time.time()) < 60 for box in boxes)


def test_nothing_is_left_of_what_it_went_through_while_it_waited(filled, pool):
    pool(1)
    box = filled.running_box('--standby')
    assert [line.split()[-1] for line in filled.ok('top', 'box').lines[1:]] == ['100000']
    assert filled.ok('logs', 'box').out == b'' and box.exec('ls', '/').text == filled.ok('run', '--rm', 'busybox', 'ls', '/').text


def test_one_is_nobody_else_s(filled, pool):
    kept = pool(3)
    for _ in range(rounds(2, 50)):
        machines = set(kept.wait_until_full().values())
        with concurrent.futures.ThreadPoolExecutor(6) as threads:
            boxes = list(threads.map(lambda name: filled.running_box('--standby', name=name), 'abcdef'))
        pids = [box.inspect()['machine_pid'] for box in boxes]
        assert len(set(pids)) == 6 and machines <= set(pids)
        said = [box.exec('cat', '/proc/sys/kernel/random/boot_id').text for box in boxes]
        assert len(set(said)) == 6 and all(box.exec('hostname').text == box.inspect()['id'] for box in boxes)
        filled.ok('rm', '-f', *'abcdef')


def test_where_none_waits_a_box_starts_as_ever(filled):
    box = filled.running_box('--standby')
    assert box.exec('echo', 'works').text == 'works' and not has_waited(box)


@pytest.mark.parametrize('options', [['--memory', '512m'], ['--cpus', '2'], ['--disk', '20g'], ['--init'], ['--io-maxbandwidth', '100m']],
                         ids=lambda options: options[0].strip('-'))
def test_one_of_another_kind_is_not_taken(filled, pool, options):
    kept = pool(1)
    [machine] = kept.wait_until_full().values()
    box = filled.running_box('--standby', *options)
    assert not has_waited(box) and box.exec('echo', 'works').text == 'works'
    assert list(kept.shims().values()) == [machine]


def test_a_pool_has_the_kind_that_it_was_told(filled, pool):
    kept = pool(1, '--memory', '512m', '--cpus', '2', '--disk', '20g', '--init')
    kept.wait_until_full()
    box = filled.running_box('--standby', '--memory', '512m', '--cpus', '2', '--disk', '20g', '--init')
    assert has_waited(box) and box.exec('nproc').text == '2'
    assert int(box.sh("df -k / | awk 'END { print $2 }'").text) > 15 << 20
    assert box.exec('cat', '/sys/fs/cgroup/memory.max').text == str(512 << 20)


def test_a_box_that_has_run_goes_on_with_its_own_disk(filled, pool):
    box = filled.running_box()
    box.exec('touch', '/mine')
    filled.ok('stop', '-t', '0', 'box')
    kept = pool(1)
    [machine] = kept.wait_until_full().values()
    filled.ok('start', '--standby', 'box')
    assert box.exec('ls', '/mine').text == '/mine' and not has_waited(box)
    wait_until('the same one waits', lambda: len(kept.waiting()) == 1)
    assert list(kept.shims().values()) == [machine]


def test_what_was_copied_into_a_box_before_its_first_start_is_there(filled, pool, files):
    (files / 'given').write_text('given')
    filled.ok('create', '--name', 'box', 'busybox', 'sleep', '100000')
    filled.ok('cp', str(files / 'given'), 'box:/given')
    pool(1)
    filled.ok('start', '--standby', 'box')
    assert filled.ok('exec', 'box', 'cat', '/given').text == 'given'


def test_what_a_box_writes_stays_and_no_other_sees_it(filled, pool):
    kept = pool(2)
    kept.wait_until_full()
    first, second = filled.running_box('--standby', name='first'), filled.running_box('--standby', name='second')
    assert has_waited(first) and has_waited(second)
    first.sh('echo mine > /mine; sync')
    assert second.exec('ls', '/mine').code != 0
    filled.ok('stop', '-t', '0', 'first')
    filled.ok('start', 'first')
    assert first.exec('cat', '/mine').text == 'mine'
    kept.wait_until_full()
    assert filled.ok('run', '--standby', '--rm', 'busybox', 'ls', '/').out == second.exec('ls', '/').out


def test_a_box_that_took_one_is_started_again_by_its_policy(filled, pool):
    kept = pool(1)
    kept.wait_until_full()
    filled.ok('run', '-d', '--standby', '--name', 'box', '--restart', 'always', 'busybox', 'sh', '-c', 'echo again; sleep 1')
    wait_until('it was started again', lambda: filled.inspect('box')['restart_count'] >= 1)
    wait_until('it said so', lambda: len(filled.ok('logs', 'box').lines) >= 2)
    filled.ok('rm', '-f', 'box')


def test_a_removed_box_leaves_nothing_of_the_machine(filled, pool):
    kept = pool(1)
    kept.wait_until_full()
    box = filled.running_box('--standby')
    machine = box.inspect()['machine_pid']
    filled.ok('rm', '-f', 'box')
    assert not pathlib.Path(f'/proc/{machine}').exists() and filled.boxes() == []
    kept.wait_until_full()
    wait_until('its folder has gone', lambda: len(list((filled.home / 'standby').iterdir())) == 1)


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=['term', 'int', 'kill'])
def test_all_that_wait_go_with_the_program_and_boxes_stay(filled, pool, how):
    kept = pool(2)
    kept.wait_until_full()
    box = filled.running_box('--standby')
    kept.wait_until_full()
    result = kept.end(how)
    assert result.code == (-signal.SIGKILL if how == signal.SIGKILL else 0) and result.err == ''
    nothing = [path for path in (filled.home / 'standby').iterdir() if (path / 'take.sock').exists()]
    if how != signal.SIGKILL:
        assert nothing == []
    wait_until('no machine waits', lambda: kept.shims() == {})
    assert has_waited(box) and box.exec('echo', 'still').text == 'still'
    filled.ok('rm', '-f', 'box')
    nothing_waits(filled)


def test_a_keeper_that_is_killed_takes_all_along_and_its_owner_says_so(filled, pool):
    kept = pool(2)
    kept.wait_until_full()
    os.kill(kept.keeper(), signal.SIGKILL)
    result = filled.finish(kept.process)
    assert result.code == 1 and 'the process that keeps the machines has ended' in result.err
    nothing_waits(filled)


@pytest.mark.parametrize('what', ['shim', 'machine'])
def test_one_that_dies_while_it_waits_is_replaced(filled, pool, what):
    kept = pool(1)
    [(shim, machine)] = kept.wait_until_full().items()
    os.kill(shim if what == 'shim' else machine, signal.SIGKILL)
    wait_until('another waits', lambda: kept.shims() and machine not in kept.shims().values() and kept.waiting())
    wait_until('and can be taken', lambda: filled.ok('run', '--standby', '--rm', 'busybox', 'echo', 'works').text == 'works')
    assert kept.process.poll() is None


def test_what_a_killed_pool_left_is_swept_by_the_next(filled, pool):
    kept = pool(1)
    [shim] = kept.wait_until_full()
    folder = filled.home / 'standby'
    os.kill(kept.process.pid, signal.SIGSTOP)
    os.kill(kept.keeper(), signal.SIGSTOP)
    os.kill(shim, signal.SIGKILL)
    os.kill(kept.keeper(), signal.SIGKILL)
    os.kill(kept.process.pid, signal.SIGKILL)
    kept.process.wait()
    [left] = folder.iterdir()
    assert (left / 'take.sock').exists()
    assert filled.ok('run', '--standby', '--rm', 'busybox', 'echo', 'works').text == 'works'  # a dead one is nobody's hindrance
    pool(1).wait_until_full()
    assert not left.exists()


def test_without_templates_none_can_wait(filled):
    result = filled.run('standby', 'busybox', env={'NESTBOX_TEMPLATES': 'off'})
    assert result.code == 1 and 'NESTBOX_TEMPLATES is off' in result.err


def test_two_pools_of_a_home_do_not_mind_each_other(filled, pool):
    one, other = pool(1), pool(1)
    wait_until('both have one', lambda: len(one.waiting()) == 2)
    boxes = [filled.running_box('--standby', name=name) for name in 'ab']
    assert all(has_waited(box) for box in boxes)
    one.end()
    wait_until('the other has one', lambda: len(other.waiting()) == 1)
    assert filled.ok('run', '--standby', '--rm', 'busybox', 'echo', 'works').text == 'works'


def test_the_image_is_fetched_where_it_is_missing(homes):
    nb = homes.make(env=OWN_TEMPLATES)
    kept = Pool(nb, 1)
    try:
        assert nb.json('image', 'inspect', 'busybox') and len(nb.json('template', 'ls', '--format', 'json')) == 2
    finally:
        assert kept.end().code == 0
    nothing_waits(nb)


@pytest.mark.parametrize('args, status, said', [
    ([], 2, 'IMAGE'), (['-n', '0', 'busybox'], 2, '1 to 64'), (['-n', '65', 'busybox'], 2, '1 to 64'), (['a', 'b'], 2, ''),
    (['--memory', '1k', 'busybox'], 2, 'memory'), (['rootfs:/nonexistent'], 1, '/nonexistent'),
], ids=['none', 'no machine', 'too many', 'two images', 'too little memory', 'not there'])
def test_what_it_cannot_do_it_says_at_once(nb, args, status, said):
    result = nb.run('standby', *args)
    assert result.code == status and said in result.err and not (nb.home / 'standby').exists(), result


def test_create_has_no_such_option(nb):
    result = nb.run('create', '--standby', 'busybox')
    assert result.code == 2 and re.search('standby', result.err)


def test_an_ordinary_user_has_one_wait(as_user, pool):
    as_user.env |= OWN_TEMPLATES
    kept = Pool(as_user, 1)
    assert as_user.ok('run', '--standby', '--rm', 'busybox', 'id', '-u').text == '0'
    assert kept.end().code == 0
    nothing_waits(as_user)


def test_a_start_that_fails_gives_nobody_the_machine_and_leaves_none(filled, pool, files):
    (files / 'gone').mkdir()
    filled.ok('create', '--name', 'box', '-v', f'{files}/gone:/data', 'busybox', 'sleep', '100000')
    (files / 'gone').rmdir()
    kept = pool(1)
    [(shim, machine)] = kept.wait_until_full().items()
    result = filled.run('start', '--standby', 'box')
    assert result.code != 0 and 'gone' in result.err, result
    wait_until('another waits', lambda: kept.waiting() and machine not in kept.shims().values())
    wait_until('it has ended', lambda: not pathlib.Path(f'/proc/{machine}').exists() and not pathlib.Path(f'/proc/{shim}').exists())
    (files / 'gone').mkdir()
    filled.ok('start', '--standby', 'box')
    assert filled.ok('exec', 'box', 'ls', '/data').text == ''


def test_one_that_cannot_be_had_is_said_and_tried_again(filled, pool):
    kept = pool(1)
    [(shim, machine)] = kept.wait_until_full().items()
    filled.ok('template', 'rm', '-a')
    os.kill(machine, signal.SIGKILL)
    assert b'nestbox: standby: wait for machines that are to be taken: ' in kept.process.stderr.readline()
    filled.ok('template', 'build', 'busybox')
    kept.wait_until_full()
    assert filled.ok('run', '--standby', '--rm', 'busybox', 'echo', 'works').text == 'works'


def test_what_was_left_half_made_is_swept_once_it_is_old(filled, pool):
    folder = filled.home / 'standby'
    folder.mkdir(mode=0o700)
    for name, age in ('.old.new', 120), ('.young.new', 0):
        (folder / name).mkdir()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    pool(1).wait_until_full()
    assert not (folder / '.old.new').exists() and (folder / '.young.new').exists()
    (folder / '.young.new').rmdir()

# SPDX-License-Identifier: Apache-2.0
"""A process that is killed between any two of its steps on the disk leaves a home in which everything goes on.

strace does the killing, at the N-th system call of a process that changes a file system: the program needs no hook for that, and no step can be
forgotten, be it ours, the database's or QEMU's. All processes that the command starts are traced, and each is killed at its own N-th
step. A step is not made when its process dies: what comes before it is all there is.
"""
import collections
import sqlite3
import subprocess

import pytest

import processes
from nestbox import SOAKING, Nestbox, wait_until

pytestmark = pytest.mark.tools('strace')

STEPS = ('mkdirat,renameat,renameat2,unlink,unlinkat,rmdir,fsync,fdatasync,pwrite64,ftruncate,linkat,symlinkat,copy_file_range,fchmodat,'
         'fallocate')
# More than any of the commands makes.
MANY = 400


def strace(n, log):
    return ['strace', '-f', '-q', '--seccomp-bpf', '-o', str(log), '-e', f'trace={STEPS}', '-e', 'signal=none',
            '-e', f'inject={STEPS}:signal=SIGKILL:when={n}']


def steps_made(log):
    """How many steps the busiest process has made, the one that it was killed at among them."""
    counts = collections.Counter(line.split()[0] for line in log.read_text(errors='replace').splitlines() if '(' in line)
    return max(counts.values(), default=0)


def killed(nb, tmp_path, n, *command):
    """Runs a command in which processes are killed at their n-th step. Whether one was."""
    log = tmp_path / 'strace'
    log.unlink(missing_ok=True)
    Nestbox(nb.home, prefix=strace(n, log), env=nb.env, program=nb.program).run(*command)
    return steps_made(log) >= n


def chosen(few):
    """The steps that are tried: all of them in a soak, otherwise some."""
    return range(1, MANY) if SOAKING else few


def in_order(nb):
    """Whatever was killed: the home opens, its database is whole, and of no box is there a part."""
    checks = {check['name']: check['state'] for check in nb.json('doctor', '--format', 'json')}
    assert checks['home'] == 'ok', checks
    boxes = nb.boxes()
    folders = {path.name for path in nb.home.glob('boxes/*')}
    assert folders == {box['id'] for box in boxes}
    return {box['name']: box for box in boxes}


def comes_to_rest(nb, name):
    """What a killed client or shim has left runs to its end by itself."""
    def rests():
        return nb.state(name) in ('created', 'stopped', 'failed') and not processes.machines()
    wait_until('it has come to rest', rests)


@pytest.fixture
def warm(nb):
    """A home with the image and all helpers in it, so that a command makes its own steps alone."""
    nb.ok('run', '--rm', 'busybox', 'true')
    return nb


def test_create(warm, tmp_path):
    tried = 0
    for n in range(1, MANY):
        if not killed(warm, tmp_path, n, 'create', '--name', 'box', '--label', 'a=b', 'busybox', 'true'):
            break
        tried += 1
        boxes = in_order(warm)
        if 'box' not in boxes:
            warm.ok('create', '--name', 'box', '--label', 'a=b', 'busybox', 'true')
        box = warm.inspect('box')
        assert (box['state'], box['command'], box['labels']) == ('created', ['true'], {'a': 'b'})
        warm.ok('rm', 'box')
    assert 10 < tried < MANY - 1  # it came to an end, and not at once


def test_a_box_that_was_being_made_starts(warm, tmp_path):
    for n in chosen((12, 17, 23, 31)):
        if not killed(warm, tmp_path, n, 'create', '--name', 'box', 'busybox', 'true'):
            break
        if 'box' not in in_order(warm):
            warm.ok('create', '--name', 'box', 'busybox', 'true')
        warm.ok('start', '-a', 'box')
        warm.ok('rm', 'box')


def test_start_and_the_end_of_a_box(warm, tmp_path):
    warm.ok('create', '--name', 'box', 'busybox', 'sh', '-c', 'date > /file; sync; exit 5')
    reached = False
    for n in chosen((1, 2, 4, 6, 9)):
        reached = killed(warm, tmp_path, n, 'start', 'box')
        comes_to_rest(warm, 'box')
        box = in_order(warm)['box']
        if box['state'] == 'stopped':
            assert box['exit_code'] == 5 or box['cause'] == 'crash'
        if not reached:
            break
        assert warm.run('start', '-a', 'box').code == 5
    assert reached != SOAKING


def test_stop(warm, tmp_path):
    log = tmp_path / 'strace'
    for n in chosen((1, 2, 4)):
        box = warm.running_box()
        box.sh('date > /file; sync')
        shim = box.inspect()['shim_pid']
        log.unlink(missing_ok=True)
        tracer = subprocess.Popen([*strace(n, log), '-p', str(shim)], stderr=subprocess.DEVNULL)
        wait_until('it is traced', lambda: 'TracerPid:\t0\n' not in open(f'/proc/{shim}/status').read())
        warm.run('stop', box.name)
        comes_to_rest(warm, box.name)
        tracer.wait(60)
        stopped = in_order(warm)[box.name]
        assert stopped['state'] == 'stopped' and stopped['cause'] in ('stop', 'crash')
        warm.ok('start', box.name)
        assert box.exec('cat', '/file').out.strip()
        warm.ok('rm', '-f', box.name)
        if steps_made(log) < n:
            break


def test_rm(warm, tmp_path):
    tried = 0
    for n in range(1, MANY):
        warm.ok('create', '--name', 'box', 'busybox', 'true')
        reached = killed(warm, tmp_path, n, 'rm', 'box')
        if 'box' in in_order(warm):
            warm.ok('rm', 'box')
        assert in_order(warm) == {}
        if not reached:
            break
        tried += 1
    assert 5 < tried < MANY - 1


def test_rm_by_force(warm, tmp_path):
    for n in chosen((9, 13)):
        warm.running_box()
        reached = killed(warm, tmp_path, n, 'rm', '-f', 'box')
        if 'box' in in_order(warm):
            warm.ok('rm', '-f', 'box')
        assert in_order(warm) == {} and not processes.machines()
        if not reached:
            break


def test_the_first_command_in_a_new_home(homes, tmp_path):
    """The database, its schema, the image and its disk are made."""
    for n in chosen((1, 3, 7, 12, 20, 35, 60, 90)):
        nb = homes.make(f'home{n}')
        reached = killed(nb, tmp_path, n, 'create', '--name', 'box', 'busybox', 'true')
        if 'box' not in in_order(nb):
            nb.ok('create', '--name', 'box', 'busybox', 'true')
        assert nb.inspect('box')['state'] == 'created' and len(nb.json('images', '--format', 'json')) == 1
        nb.ok('rm', 'box')
        if not reached:
            break


def test_an_upgrade_of_the_database(warm, tmp_path):
    """From the schema of the version before, with a box in it."""
    def make_older():
        with sqlite3.connect(warm.home / 'nestbox.db') as db:
            columns = [row[1] for row in db.execute('PRAGMA table_info(boxes)')]
            for column in columns[columns.index('mounts') + 1:]:
                db.execute(f'ALTER TABLE boxes DROP COLUMN {column}')
            db.execute('PRAGMA user_version = 5')
        db.close()
    warm.ok('create', '--name', 'box', '--label', 'a=b', 'busybox', 'true')
    tried = 0
    for n in range(1, MANY):
        make_older()
        reached = killed(warm, tmp_path, n, 'ps', '-a')
        assert in_order(warm)['box']['labels'] == {'a': 'b'}
        if not reached:
            break
        tried += 1
    assert 5 < tried < MANY - 1

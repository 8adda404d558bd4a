# SPDX-License-Identifier: Apache-2.0
"""Boxes that go on from a saved machine: that they do, that no two are alike, and that whatever is wrong with one a box boots."""
import concurrent.futures
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import signal
import time

import processes
import pytest
from nestbox import templates_of, wait_until

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def own(homes):
    """A home with templates of its own, in it, as every user's is."""
    return homes.make('own', env={'NESTBOX_TEMPLATES': None})


def templates(nb):
    return sorted(path for path in (nb.home / 'templates').glob('*') if path.is_dir())


def is_restored(box):
    return b'-incoming' in pathlib.Path(f"/proc/{box.inspect()['machine_pid']}/cmdline").read_bytes().split(b'\0')


def shim_log(box):
    return (box.nestbox.home / 'boxes' / box.inspect()['id'] / 'shim.log').read_text()


def test_the_first_start_makes_a_template_and_all_go_on_from_it(anyone, request):
    folder = pathlib.Path(templates_of(os.geteuid() if anyone.prefix == [] else 'user'))
    first, second = anyone.running_box(name='first'), anyone.running_box(name='second')
    assert is_restored(first) and is_restored(second)
    assert first.sh('echo works; exit 3').code == 3 and second.exec('hostname').text == second.inspect()['id']
    if os.geteuid() == 0 or anyone.prefix == []:
        for path in (path for path in folder.iterdir() if path.is_dir()):
            assert sorted(file.name for file in path.iterdir()) == ['memory', 'state', 'template']
            assert all(file.stat().st_mode & 0o222 == 0 for file in path.iterdir()) and path.stat().st_mode & 0o077 == 0


def test_no_two_boxes_are_alike_in_what_must_differ(own):
    boxes = [own.running_box(name=name) for name in ('a', 'b', 'c')]
    said = [box.sh('cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; head -c 32 /dev/urandom | md5sum; hostname; mktemp -u')
            for box in boxes]
    assert all(result.code == 0 for result in said) and len(templates(own)) == 1 and all(is_restored(box) for box in boxes)
    for values in zip(*(result.lines for result in said)):
        assert len(set(values)) == 3, values


def test_the_clock_is_the_host_s_and_time_goes_on(own):
    own.running_box(name='before')
    box = own.running_box(name='after')
    assert is_restored(box) and abs(int(box.exec('date', '+%s').text) - time.time()) < 60
    first, second = (float(box.exec('cat', '/proc/uptime').text.split()[0]) for _ in range(2))
    assert second > first
    assert box.sh('sleep 0.2').code == 0


def test_disks_and_processors_of_any_size_go_on_from_one_shape_each(own):
    small, large = own.running_box('--disk', '1g', name='small'), own.running_box('--disk', '40g', name='large')
    two = own.running_box('--cpus', '2', name='two')
    assert is_restored(small) and is_restored(large) and is_restored(two) and len(templates(own)) == 2
    sizes = [int(box.sh("df -k / | tail -1").text.split()[1]) >> 20 for box in (small, large)]
    assert sizes[0] == 0 and 35 <= sizes[1] <= 40, sizes
    assert two.exec('nproc').text == '2'


def test_a_bounded_disk_goes_on_from_the_same_template(own):
    own.ok('run', '--rm', 'busybox', 'true')
    box = own.running_box('--io-maxiops', '1000', '--disk', '2g')
    assert is_restored(box) and len(templates(own)) == 1 and box.sh('dd if=/dev/zero of=/file bs=1M count=8 && sync').code == 0


def test_four_starts_at_once_make_one_template(own):
    own.ok('create', '--name', 'b0', 'busybox')  # the image, which all want
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: own.run('run', '--rm', '--name', f'x{n}', 'busybox', 'echo', str(n)), range(4)))
    assert [result.text for result in results] == ['0', '1', '2', '3'] and len(templates(own)) == 1


def damage_memory(path):
    (path / 'memory').chmod(0o600)
    os.truncate(path / 'memory', 4096)
    (path / 'memory').chmod(0o400)


def damage_state(path):
    (path / 'state').chmod(0o600)
    bytes_ = bytearray((path / 'state').read_bytes())
    bytes_[4096:8192] = os.urandom(4096)
    (path / 'state').write_bytes(bytes_)
    (path / 'state').chmod(0o400)


def empty_state(path):
    (path / 'state').chmod(0o600)
    size = (path / 'state').stat().st_size
    (path / 'state').write_bytes(bytes(size))
    (path / 'state').chmod(0o400)


def scramble_memory(path):
    (path / 'memory').chmod(0o600)
    with open(path / 'memory', 'r+b') as file:
        for at in range(0, 512 << 20, 1 << 20):
            file.seek(at)
            file.write(os.urandom(65536))
    (path / 'memory').chmod(0o400)


def damage_header(path):
    (path / 'template').chmod(0o600)
    (path / 'template').write_bytes(b'NBTEMP99' + bytes(24))
    (path / 'template').chmod(0o400)


def make_writable(path):
    (path / 'memory').chmod(0o620)


def give_away(path):
    if os.geteuid() != 0:
        pytest.skip('only root can give a file away')
    os.chown(path / 'state', 12345, 12345)


def open_folder(path):
    path.chmod(0o777)


@pytest.mark.parametrize('damage', [damage_memory, damage_state, empty_state, scramble_memory, damage_header, make_writable, give_away, open_folder])
def test_a_template_that_cannot_be_relied_on_is_not_used_and_the_box_boots(own, damage):
    own.ok('run', '--rm', 'busybox', 'true')
    damage(templates(own)[0])
    box = own.running_box()
    assert box.exec('echo', 'lives').text == 'lives' and not is_restored(box)
    assert 'template' in shim_log(box)
    own.ok('stop', 'box')


def test_a_template_that_led_nowhere_is_made_anew(own):
    own.ok('run', '--rm', 'busybox', 'true')
    empty_state(templates(own)[0])
    own.ok('run', '--rm', 'busybox', 'true')
    box = own.running_box()
    assert is_restored(box) and len(templates(own)) == 1


def test_a_maker_that_is_killed_leaves_nothing_that_is_taken_for_a_template(own):
    start = own.popen('run', '--name', 'box', '-d', 'busybox', 'sleep', '1000')

    def kill_maker():
        for process in processes.descendants():
            if process.name == 'nestbox-template':
                os.kill(process.pid, signal.SIGKILL)
                return True
        return start.poll() is not None
    wait_until('it is made', kill_maker)
    assert own.finish(start).code == 0
    assert templates(own) == [] and own.state('box') == 'running'
    wait_until('its machine is gone', lambda: len([p for p in processes.alive() if p.name.startswith('qemu')]) == 1)


def test_without_templates_every_machine_boots(homes):
    nb = homes.make(env={'NESTBOX_TEMPLATES': 'off'})
    assert not is_restored(nb.running_box()) and not (nb.home / 'templates').exists()


def test_what_is_no_template_is_never_removed(homes, files):
    """The folder is the user's choice: his own files lie in it, older than anything."""
    folder = files / 'chosen'
    folder.mkdir()
    key = 'a' * 64
    kept = ['letter.txt', 'photos', '.hidden', key[:-1], key + '0', key.upper(), key + '.tar', key + '.new', key + '.x.new', key + '.1.new.bak', 'b' * 64 + 'z']
    swept = [key, key + '.123.new', 'c' * 64]
    for name in kept + swept:
        (folder / name).mkdir()
        (folder / name / 'inside').write_text('mine')
    (folder / ('c' * 64) / 'template').write_text('long ago')
    (folder / 'file').write_text('mine')
    for path in [*folder.rglob('*'), *folder.iterdir()]:
        os.utime(path, (1, 1))
    nb = homes.make(env={'NESTBOX_TEMPLATES': str(folder)})
    assert is_restored(nb.running_box())
    left = {path.name for path in folder.iterdir()}
    assert {*kept, 'file'} <= left and not left & set(swept)
    assert all((folder / name / 'inside').read_text() == 'mine' for name in kept)


def test_what_others_may_write_to_is_no_place_for_templates(homes, files):
    files.chmod(0o777)
    nb = homes.make(env={'NESTBOX_TEMPLATES': str(files)})
    result = nb.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
    assert 'others may write there' in result.err and list(files.iterdir()) == []


def take_descriptors(pid):
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    assert pidfd >= 0
    for name in os.listdir(f'/proc/{pid}/fd'):
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
        if fd >= 0:
            yield fd
            os.close(fd)
    os.close(pidfd)


def refused(call, *errors):
    try:
        call()
    except OSError as error:
        return error.errno in errors
    return False


def test_qemu_holds_the_template_by_descriptors_that_cannot_write_to_it(own):
    own.ok('run', '--rm', 'busybox', 'true')
    template = templates(own)[0]
    before = {path.name: path.read_bytes() for path in template.iterdir()}
    box = own.running_box()
    assert is_restored(box)
    held = 0
    for fd in take_descriptors(box.inspect()['machine_pid']):
        if not os.readlink(f'/proc/self/fd/{fd}').startswith(str(template)):
            continue
        held += 1
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert refused(lambda: os.pwrite(fd, b'x', 0), errno.EBADF)
        assert refused(lambda: os.ftruncate(fd, 0), errno.EBADF, errno.EINVAL)
        assert libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(4096)) < 0
        assert refused(lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), errno.EACCES)
    assert held >= 2
    assert box.sh('dd if=/dev/zero of=/file bs=1M count=32 2>/dev/null; head -c 100m /dev/zero | md5sum').code == 0
    own.ok('stop', 'box')
    assert {path.name: path.read_bytes() for path in template.iterdir()} == before

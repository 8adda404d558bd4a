# SPDX-License-Identifier: Apache-2.0
"""Boxes that go on from a saved machine: that they do, that no two are alike, and that whatever is wrong with one a box boots."""
import concurrent.futures
import ctypes
import errno
import fcntl
import json
import mmap
import os
import pathlib
import signal
import subprocess
import time

import processes
import pytest
from nestbox import OWN_TEMPLATES, Box, templates_of, wait_until

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope='module')
def made(module_homes):
    """The folder of a home that has a template of the machine, and one of the image."""
    nb = module_homes.make('made', env=OWN_TEMPLATES)
    for _ in range(2):
        nb.ok('run', '--rm', 'busybox', 'true')
    assert len(templates(nb)) == len(image_templates(nb)) == 1
    return nb


def home_with_templates(homes, of_images):
    """Of its own, in it, as every user's are."""
    return homes.make('own', env={'NESTBOX_TEMPLATES': None, 'NESTBOX_IMAGE_TEMPLATES': None if of_images else 'off'})


@pytest.fixture
def own(homes):
    """A home whose boxes go on from the machine's template."""
    return home_with_templates(homes, False)


@pytest.fixture
def of_image(homes):
    """A home whose boxes go on from the image's template."""
    return home_with_templates(homes, True)


@pytest.fixture(params=['machine', 'image'])
def either(request, homes):
    return home_with_templates(homes, request.param == 'image')


@pytest.fixture
def give_template(made):
    """A function that gives a home what its next box is to go on from, as if it had been made there."""
    def give(nb):
        nb.ok('ps')  # makes the home
        (nb.home / 'templates').mkdir(mode=0o700, exist_ok=True)
        of_images = not nb.env.get('NESTBOX_IMAGE_TEMPLATES')
        for path in [*templates(made), *(image_templates(made) if of_images else [])]:
            subprocess.run(['cp', '-a', '--sparse=auto', path, nb.home / 'templates'], check=True)
        for path in (made.home / 'templates').glob('*.asked') if of_images else []:
            (nb.home / 'templates' / path.name).touch(mode=0o600)
        [template] = image_templates(nb) if of_images else templates(nb)
        return template
    return give


def all_templates(nb):
    return sorted(path for path in (nb.home / 'templates').glob('*') if path.is_dir())


def templates(nb):
    return [path for path in all_templates(nb) if not (path / 'disk').exists()]


def image_templates(nb):
    return [path for path in all_templates(nb) if (path / 'disk').exists()]


def qemu_files(box):
    pid = box.inspect()['machine_pid']
    return [os.readlink(path) for path in pathlib.Path(f'/proc/{pid}/fd').iterdir()]


def is_restored(box):
    return b'-incoming' in pathlib.Path(f"/proc/{box.inspect()['machine_pid']}/cmdline").read_bytes().split(b'\0')


def goes_on_from(box, template):
    return is_restored(box) and str(template / 'memory') in qemu_files(box)


def shim_log(box):
    return (box.nestbox.home / 'boxes' / box.inspect()['id'] / 'shim.log').read_text()


def test_the_first_start_makes_a_template_and_all_go_on_from_it(anyone, request):
    folder = pathlib.Path(templates_of(os.geteuid() if anyone.prefix == [] else 'user'))
    first, second = anyone.running_box(name='first'), anyone.running_box(name='second')
    assert is_restored(first) and is_restored(second)
    assert first.sh('echo works; exit 3').code == 3 and second.exec('hostname').text == second.inspect()['id']
    if os.geteuid() == 0 or anyone.prefix == []:
        for path in (path for path in folder.iterdir() if path.is_dir() and not path.name.endswith('.new')):
            assert {file.name for file in path.iterdir()} in ({'about', 'memory', 'state', 'template'}, {'about', 'memory', 'state', 'template', 'disk'})
            assert all(file.stat().st_mode & 0o222 == 0 for file in path.iterdir()) and path.stat().st_mode & 0o077 == 0


def test_the_second_start_of_an_image_makes_a_template_of_it(of_image):
    first = of_image.running_box(name='first')
    assert goes_on_from(first, templates(of_image)[0]) and image_templates(of_image) == []
    second, third = of_image.running_box(name='second'), of_image.running_box(name='third')
    [template] = image_templates(of_image)
    assert goes_on_from(second, template) and goes_on_from(third, template)
    for box in second, third:
        assert box.sh('echo works; exit 3').code == 3 and box.exec('hostname').text == box.inspect()['id']


def test_no_two_boxes_are_alike_in_what_must_differ(either, give_template):
    template = give_template(either)
    boxes = [either.running_box(name=name) for name in ('a', 'b', 'c')]
    said = [box.sh('cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; head -c 32 /dev/urandom | md5sum; hostname; mktemp -u;'
                   'cat /etc/hostname; head -n 1 /etc/hosts; stat -c %i.%Y /etc/hosts')
            for box in boxes]
    assert all(result.code == 0 for result in said) and all(goes_on_from(box, template) for box in boxes)
    for values in list(zip(*(result.lines for result in said)))[:7]:
        assert len(set(values)) == 3, values


def test_the_clock_is_the_host_s_and_time_goes_on(either, give_template):
    template = give_template(either)
    box = either.running_box(name='after')
    assert goes_on_from(box, template) and abs(int(box.exec('date', '+%s').text) - time.time()) < 60
    first, second = (float(box.exec('cat', '/proc/uptime').text.split()[0]) for _ in range(2))
    assert second > first
    assert box.sh('sleep 0.2').code == 0


def test_a_box_of_an_image_s_template_has_its_own_limits(of_image, give_template):
    template = give_template(of_image)
    box = of_image.running_box('--memory', '100m', '--pids-limit', '37', '--cpus', '0.5', image='busybox')
    other = of_image.running_box('--memory', '200m', name='other')
    limits = 'cd /sys/fs/cgroup; cat memory.max pids.max; cat cpu.max 2>/dev/null'
    assert box.sh(limits).lines == [str(100 << 20), '37', '50000 100000'] and is_restored(box) and not goes_on_from(box, template)
    assert other.sh(limits).lines[:2] == [str(200 << 20), '4096'] and goes_on_from(other, template)
    assert box.sh('for i in $(seq 50); do sleep 100 & done; wait').code != 0


def test_what_one_box_writes_no_other_box_sees(of_image, give_template):
    template = give_template(of_image)
    before = {path.name: path.read_bytes() for path in template.iterdir()}
    first = of_image.running_box(name='first')
    assert first.sh('echo mine > /root/file; rm /bin/vi; for i in $(seq 200); do echo $i > /tmp/$i; done; sync').code == 0
    second = of_image.running_box(name='second')
    assert goes_on_from(second, template) and second.sh('ls -A /root; ls /bin/vi; ls /tmp | wc -l').lines == ['/bin/vi', '0']
    assert second.sh('echo other > /root/file; sync').code == 0
    for box in first, second:
        box.nestbox.ok('stop', '-t', '0', box.name)
        box.nestbox.ok('start', box.name)
        assert is_restored(box) and not goes_on_from(box, template)
    assert first.sh('cat /root/file; ls /tmp | wc -l; ls /bin/vi').lines == ['mine', '200'] and second.exec('cat', '/root/file').text == 'other'
    assert {path.name: path.read_bytes() for path in template.iterdir()} == before


def test_the_disk_of_such_a_box_is_sound_and_its_own(of_image, files, give_template):
    give_template(of_image)
    box = of_image.running_box()
    assert box.sh('dd if=/dev/urandom of=/file bs=1M count=20 2>/dev/null; md5sum < /file > /sum').code == 0
    disk = of_image.home / 'boxes' / box.inspect()['id'] / 'disk.qcow2'
    assert disk.stat().st_mode & 0o777 == 0o600 and not disk.with_name('disk.qcow2.new').exists()
    of_image.ok('stop', '-t', '0', 'box')
    flat = files / 'flat'
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', disk, flat], check=True)
    checked = subprocess.run(['e2fsck', '-fn', flat], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert checked.returncode == 0, checked.stdout
    below = json.loads(subprocess.run(['qemu-img', 'info', '--output=json', disk], stdout=subprocess.PIPE, check=True).stdout)
    assert below['backing-filename'].startswith('../../images/')  # a home can be moved


def test_a_box_that_was_written_to_before_its_first_start_keeps_that(of_image, files, give_template):
    template = give_template(of_image)
    (files / 'letter').write_text('dear box')
    of_image.ok('create', '--name', 'box', 'busybox', 'sleep', '100000')
    of_image.ok('cp', str(files / 'letter'), 'box:/root/letter')
    of_image.ok('start', 'box')
    box = Box(of_image, 'box')
    assert box.exec('cat', '/root/letter').text == 'dear box' and is_restored(box) and not goes_on_from(box, template)


def test_volumes_and_users_work_over_an_image_s_template(of_image, files, give_template):
    template = give_template(of_image)
    (files / 'shared').write_text('from the host')
    box = of_image.running_box('-v', f'{files}:/mnt', '--tmpfs', '/scratch', '-u', '1000:1000', '-w', '/somewhere/new', '-e', 'A=b')
    assert goes_on_from(box, template)
    assert box.sh('cat /mnt/shared; echo; id -u; echo $A; pwd').lines == ['from the host', '1000', 'b', '/somewhere/new']
    assert box.sh('mount | grep -c /scratch').text == '1'


def test_boxes_of_other_content_have_templates_of_their_own(of_image, give_template):
    give_template(of_image)
    assert of_image.ok('run', '--rm', '--disk', '2g', 'busybox', 'echo', 'small').text == 'small' and len(image_templates(of_image)) == 1
    assert 1000 < int(of_image.ok('run', '--rm', '--disk', '2g', 'busybox', 'df', '-m', '/').lines[-1].split()[1]) < 2048
    assert len(image_templates(of_image)) == 2
    assert of_image.ok('run', '--rm', '--init', 'busybox', 'sh', '-c', 'echo $$').text != '1' and len(image_templates(of_image)) == 2
    assert of_image.ok('run', '--rm', '--init', 'busybox', 'sh', '-c', 'echo $$').text != '1' and len(image_templates(of_image)) == 3
    assert of_image.ok('run', '--rm', 'busybox', 'sh', '-c', 'echo $$').text == '1' and len(templates(of_image)) == 1


def test_templates_of_images_keep_within_their_bound(of_image, give_template):
    template = give_template(of_image)
    size = sum(path.stat().st_blocks * 512 for path in template.iterdir())
    bound = {'NESTBOX_IMAGE_TEMPLATES': str(int(1.5 * size))}
    for _ in range(3):  # the other one is in use
        assert of_image.ok('run', '--rm', '--disk', '2g', 'busybox', 'echo', 'x', env=bound).text == 'x'
    assert image_templates(of_image) == [template]
    os.utime(template / 'template', (1, 1))
    assert of_image.ok('run', '--rm', '--disk', '2g', 'busybox', 'echo', 'x', env=bound).text == 'x'
    assert len(image_templates(of_image)) == 1 and image_templates(of_image) != [template]


@pytest.mark.parametrize('given', ['off', 'much', '12q', '-1'])
def test_no_templates_of_images_where_none_are_wanted(of_image, given):
    for _ in range(3):
        result = of_image.ok('run', '--rm', 'busybox', 'echo', 'x', env={'NESTBOX_IMAGE_TEMPLATES': given})
        assert result.text == 'x' and ('NESTBOX_IMAGE_TEMPLATES' in result.err) == (given != 'off'), result
    assert image_templates(of_image) == []


def test_disks_and_processors_of_any_size_go_on_from_one_shape_each(own):
    small, large = own.running_box('--disk', '1g', name='small'), own.running_box('--disk', '40g', name='large')
    two = own.running_box('--cpus', '2', name='two')
    assert is_restored(small) and is_restored(large) and is_restored(two) and len(templates(own)) == 2
    sizes = [int(box.sh("df -k / | tail -1").text.split()[1]) >> 20 for box in (small, large)]
    assert sizes[0] == 0 and 35 <= sizes[1] <= 40, sizes
    assert two.exec('nproc').text == '2'


def test_a_bounded_disk_goes_on_from_the_same_template(either, give_template):
    template = give_template(either)
    box = either.running_box('--io-maxiops', '1000')
    assert goes_on_from(box, template) and box.sh('dd if=/dev/zero of=/file bs=1M count=8 && sync').code == 0


def test_four_starts_at_once_make_one_template(own):
    own.ok('create', '--name', 'b0', 'busybox')  # the image, which all want
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: own.run('run', '--rm', '--name', f'x{n}', 'busybox', 'echo', str(n)), range(4)))
    assert [result.text for result in results] == ['0', '1', '2', '3'] and len(templates(own)) == 1


def test_of_four_starts_at_once_one_makes_the_image_s_template_and_none_waits(of_image):
    of_image.ok('run', '--rm', 'busybox', 'true')
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: of_image.run('run', '--rm', '--name', f'x{n}', 'busybox', 'echo', str(n)), range(4)))
    assert [result.text for result in results] == ['0', '1', '2', '3'] and len(image_templates(of_image)) == 1


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


def damage_disk(path):
    (path / 'disk').chmod(0o600)
    with open(path / 'disk', 'r+b') as file:
        file.write(os.urandom(65536))
    (path / 'disk').chmod(0o400)


def cut_disk(path):
    (path / 'disk').chmod(0o600)
    os.truncate(path / 'disk', 65536)
    (path / 'disk').chmod(0o400)


def lose_disk(path):
    (path / 'disk').unlink()


@pytest.mark.parametrize('damage', [damage_memory, damage_state, empty_state, scramble_memory, damage_header, make_writable, give_away, open_folder])
def test_a_template_that_cannot_be_relied_on_is_not_used_and_the_box_boots(own, damage, give_template):
    damage(give_template(own))
    box = own.running_box()
    assert box.exec('echo', 'lives').text == 'lives' and not is_restored(box)
    assert 'template' in shim_log(box)
    own.ok('stop', '-t', '0', 'box')


@pytest.mark.parametrize('damage', [damage_memory, damage_state, empty_state, scramble_memory, damage_header, make_writable, give_away, open_folder,
                                    damage_disk, cut_disk, lose_disk])
def test_an_image_s_template_that_cannot_be_relied_on_is_no_box_s_undoing(of_image, damage, give_template):
    template = give_template(of_image)
    damage(template)
    box = of_image.running_box()
    assert box.sh('echo lives > /file; cat /file; ls /bin/busybox; hostname').lines == ['lives', '/bin/busybox', box.inspect()['id']]
    assert not goes_on_from(box, template) and 'template' in shim_log(box)
    of_image.ok('stop', '-t', '0', 'box')
    of_image.ok('start', 'box')
    assert box.exec('cat', '/file').text == 'lives'


def test_a_template_that_led_nowhere_is_made_anew(either, give_template):
    template = give_template(either)
    empty_state(template)
    either.ok('run', '--rm', 'busybox', 'true')
    box = either.running_box()
    assert goes_on_from(box, template)


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
    assert all_templates(own) == [] and own.state('box') == 'running'
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


def test_qemu_holds_the_template_by_descriptors_that_cannot_write_to_it(either, give_template):
    template = give_template(either)
    before = {path.name: path.read_bytes() for path in template.iterdir()}
    box = either.running_box()
    assert goes_on_from(box, template)
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
    either.ok('stop', '-t', '0', 'box')
    assert {path.name: path.read_bytes() for path in template.iterdir()} == before

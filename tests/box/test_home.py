# SPDX-License-Identifier: Apache-2.0
"""Homes that lie in odd places, cannot be written, are full, or are damaged."""
import os
import shutil
import subprocess

import pytest

import layout
import nestbox
from nestbox import wait_until

ODD_NAMES = {
    '200 characters': 'x' * 200,
    'spaces': ' a home  with spaces ',
    'quotes': '''it's "quoted" `here` $HOME''',
    'unicode': 'höme-ホーム-🏠',
    'commas and more': 'a,b,,c=d:e;f%20%s&g',
    'a backslash': 'back\\slash',
}


def use(nb):
    """A start, an exec and a removal: sockets, disks and records."""
    box = nb.running_box()
    assert box.exec('echo', 'hi').out == b'hi\n'
    assert nb.ok('rm', '-f', 'box').code == 0
    assert nb.boxes() == []


@pytest.mark.parametrize('what', ODD_NAMES)
def test_s38_a_home_with(homes, what):
    use(homes.make(ODD_NAMES[what]))


def test_s38_a_home_through_a_symbolic_link(homes):
    (homes.folder / 'real').mkdir(mode=0o700)
    (homes.folder / 'link').symlink_to('real')
    use(homes.make('link'))
    assert (homes.folder / 'real' / 'nestbox.db').exists()


def test_s38_a_relative_home(homes):
    nb = homes.make('relative')
    (homes.folder / 'elsewhere').mkdir()
    nb.ok('--home', 'relative', 'run', '-d', '--name', 'box', 'busybox', 'sleep', '1000', cwd=homes.folder)
    result = nb.run('--home', '../relative', 'exec', 'box', 'echo', 'hi', cwd=homes.folder / 'elsewhere')
    assert result.out == b'hi\n', result
    assert nb.state('box') == 'running'


def test_a_home_on_the_command_line_wins_over_the_environment(homes):
    first, second = homes.make('first'), homes.make('second')
    first.ok('--home', str(second.home), 'create', '--name', 'b', 'busybox', 'true')
    assert [box['name'] for box in second.boxes()] == ['b'] and first.boxes() == []


def test_the_default_home_is_made_below_the_user_s(homes):
    nb = homes.add(nestbox.Nestbox(homes.folder / 'user' / '.local' / 'share' / 'nestbox'))
    (homes.folder / 'user').mkdir()
    nb.ok('create', 'busybox', 'true', env={'NESTBOX_HOME': None, 'HOME': str(homes.folder / 'user')})
    assert len(nb.boxes()) == 1 and nb.home.stat().st_mode & 0o777 == 0o700


def test_xdg_data_home_is_heeded(homes):
    nb = homes.add(nestbox.Nestbox(homes.folder / 'data' / 'nestbox'))
    nb.ok('create', 'busybox', 'true', env={'NESTBOX_HOME': None, 'XDG_DATA_HOME': str(homes.folder / 'data')})
    assert len(nb.boxes()) == 1


def refused(result, named, code=1):
    """One clear line, and perhaps a hint."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, b'') and 1 <= len(lines) <= 2, result
    assert lines[0].startswith('nestbox: ') and named in lines[0], result
    assert len(lines) == 1 or lines[1].startswith('hint: '), result
    return result


def test_a_home_that_cannot_be_written_is_refused(homes, as_user):
    closed = homes.folder / 'closed'
    closed.mkdir(mode=0o755)
    folder = closed if os.geteuid() == 0 else '/usr'
    refused(as_user.run('--home', f'{folder}/nestbox-home', 'ps', timeout=10), f'{folder}/nestbox-home')
    assert list(closed.iterdir()) == []


def test_a_home_of_somebody_else_is_refused(nb, as_user):
    nb.ok('create', 'busybox', 'true')
    path = str(nb.home) if os.geteuid() == 0 else '/usr'
    refused(as_user.run('--home', path, 'ps', timeout=10), path)


@pytest.mark.parametrize('what', ['a file', 'a dangling link', 'below a file'])
def test_a_home_that_is_no_folder_is_refused(homes, nb, what):
    (homes.folder / 'file').write_text('')
    (homes.folder / 'dangling').symlink_to('nowhere/at/all')
    path = homes.folder / {'a file': 'file', 'a dangling link': 'dangling', 'below a file': 'file/home'}[what]
    refused(nb.run('--home', str(path), 'ps', timeout=10), str(path))


@pytest.mark.parametrize('content', [b'', b'garbage' * 1000, b'SQLite format 3\0' + bytes(4096)], ids=['empty', 'garbage', 'torn'])
def test_a_damaged_database_is_refused_or_empty_and_says_so(nb, content):
    nb.ok('create', 'busybox', 'true')
    for path in nb.home.glob('nestbox.db-*'):
        path.unlink()
    (nb.home / 'nestbox.db').write_bytes(content)
    result = nb.run('ps', '-a', timeout=10)
    if content:
        refused(result, 'nestbox.db')
        # What the fixture would ask it at the end has to be answered.
        (nb.home / 'nestbox.db').unlink()
        shutil.rmtree(nb.home / 'boxes')
    else:
        # An empty file is what a database is before its first write; its boxes are then none.
        assert result.code == 0, result
        shutil.rmtree(nb.home / 'boxes')


def test_a_database_of_a_newer_version_is_refused(nb):
    nb.ok('ps')
    script = 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("PRAGMA user_version = 999"); c.commit()'
    subprocess.run(['/usr/bin/python3', '-c', script, nb.home / 'nestbox.db'], check=True)
    refused(nb.run('ps', timeout=10), 'nestbox.db')
    (nb.home / 'nestbox.db').unlink()


class SmallHome:
    """A home on a file system of a few MiB in a mount namespace of its own, held open by a process."""

    def __init__(self, homes, size):
        self.folder = homes.folder / 'small'
        self.folder.mkdir()
        unshare = ['unshare', '-m'] if os.geteuid() == 0 else ['unshare', '-r', '-m']
        script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec sleep 100000'
        self.holder = subprocess.Popen([*unshare, 'sh', '-c', script, 'sh', size, self.folder], stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b'mounted\n':
            self.close()
            pytest.skip('no right to mount a file system')
        self.enter = ['nsenter', '-t', str(self.holder.pid), '-m', *([] if os.geteuid() == 0 else ['-U', '--preserve-credentials'])]
        self.nb = nestbox.Nestbox(self.folder / 'home', prefix=self.enter)

    def sh(self, script, *args):
        return subprocess.run([*self.enter, 'sh', '-c', script, 'sh', *map(str, args)], stdout=subprocess.PIPE, text=True, check=True).stdout

    def make_room(self):
        # With a source named, mount takes over no option of before; in a user's namespace some of them are refused.
        self.sh('mount -t tmpfs -o remount,size=500m tmpfs "$1"', self.folder)

    def close(self):
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def small_home(homes):
    """Makes it of a size: small_home('3m')."""
    made = []

    def make(size):
        made.append(SmallHome(homes, size))
        return made[-1]
    yield make
    for home in made:
        home.nb.run('rm', '-f', '-a')
        home.close()


def test_s28_a_full_disk_is_told_and_with_room_again_the_same_command_works(homes, small_home):
    home = small_home('2m')
    result = home.nb.run('run', '--rm', 'busybox', 'echo', 'hi', timeout=20)
    assert result.code == 125 and 'No space left' in result.err.splitlines()[0] and len(result.err.splitlines()) <= 2, result
    wait_until('the worker, which ends by itself, is gone', lambda: homes.new_processes() == [])
    home.make_room()
    assert home.nb.ok('run', '--rm', 'busybox', 'echo', 'hi').out == b'hi\n'
    assert home.nb.boxes() == []


@pytest.mark.parametrize('image_source', ['import', 'load'])
def test_s28_an_image_that_does_not_fit_leaves_nothing(homes, small_home, files, image_source):
    home = small_home('20m')
    home.nb.ok('ps')
    big = layout.Tar().file('big', os.urandom(30 << 20)).bytes()
    (files / 'big.tar').write_bytes(big)
    layout.docker_archive(files / 'big-docker.tar', 'big:latest', [big], Cmd=['/x'])
    before = home.sh('cd "$1" && find . -type f | sort', home.nb.home)
    words = ['import', str(files / 'big.tar'), 'big'] if image_source == 'import' else ['load', '-i', str(files / 'big-docker.tar')]
    result = home.nb.run(*words, timeout=30)
    assert result.code == 1 and 'No space left' in result.err, result
    wait_until('its worker is gone', lambda: not homes.new_processes())
    after = home.sh('cd "$1" && find . -type f | sort', home.nb.home)
    # The lock, and copies of helper programs, are made at their first use.
    new = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line for line in new if line != './images/lock' and not line.startswith('./cache/')] == []
    assert home.nb.json('images', '--format', 'json') == []
    home.make_room()
    home.nb.ok(*words)

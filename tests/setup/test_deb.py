# SPDX-License-Identifier: Apache-2.0
"""make deb: the packages together have all that make install installs, each file in one of them, and say what they need."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = ROOT / 'build-deb'


def output(*argv):
    return subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.PIPE, text=True, timeout=900).stdout


@pytest.fixture(scope='module')
def packages():
    output('make', '-C', ROOT, 'deb')
    return {path.name.split('_')[0]: path for path in BUILD.glob('*.deb')}


def files(package):
    rows = [line.split() for line in output('dpkg-deb', '-c', package).splitlines()]
    return {row[5].removeprefix('.') for row in rows if not row[0].startswith('d')}


def test_each_has_its_part(packages):
    assert set(packages) == {'nestbox', 'nestbox-guest', 'libnestbox0', 'libnestbox-dev'}
    held = {name: files(path) for name, path in packages.items()}
    everything = sorted(file for part in held.values() for file in part)
    assert len(everything) == len(set(everything))
    for name, part in (('nestbox', '/usr/bin/nestbox'), ('nestbox', '/usr/share/man/man7/nestbox.7.gz'), ('libnestbox-dev', '/usr/include/nestbox/nestbox.h'),
                       ('libnestbox-dev', '/usr/share/man/man3/libnestbox.3.gz')):
        assert part in held[name]
    assert any(file.endswith('/libnestbox.so.0') for file in held['libnestbox0'])
    assert any(file.endswith('/nestbox/guest/vmlinuz') for file in held['nestbox-guest'])


def test_each_says_what_it_needs(packages):
    needs = {name: output('dpkg-deb', '-f', path, 'Depends') for name, path in packages.items()}
    for word in ('libc6', 'libsqlite3-0', 'libarchive13', 'libcurl4', 'libfuse3-3', 'qemu-system-', 'nestbox-guest (='):
        assert word in needs['libnestbox0'], needs
    assert 'libnestbox0 (=' in needs['nestbox'] and 'libjansson4' in needs['nestbox']
    assert 'libnestbox0 (=' in needs['libnestbox-dev']


def test_what_is_unpacked_runs_a_box(packages, tmp_path):
    root = tmp_path / 'root'
    for path in packages.values():
        output('dpkg-deb', '-x', path, root)
    library = next(root.glob('usr/lib/*/libnestbox.so.0')).parent
    env = {'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path), 'LD_LIBRARY_PATH': str(library)}
    result = subprocess.run([root / 'usr/bin/nestbox', 'run', '--rm', 'busybox', 'echo', 'hello'], env=env, stdout=subprocess.PIPE, timeout=120, check=True)
    assert result.stdout == b'hello\n'

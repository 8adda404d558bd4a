# SPDX-License-Identifier: Apache-2.0
"""tools/fetch-guest, with programs in place of apt's that say what the test wants: it takes no wrong kernel for a right one, and no
broken folder for a whole one."""
import hashlib
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RELEASE = '6.1.0-9-cloud-amd64'
KERNEL = f'linux-image-{RELEASE}'
BUSYBOX = 'busybox-static'
KEPT = ('kernel/drivers/block/virtio_blk.ko', 'kernel/drivers/virtio/virtio.ko')
BUILTIN = ('virtio_mmio', 'virtio_pci', 'virtio_console', 'virtio_net', 'virtio-rng', 'virtio_balloon', 'fuse', 'virtiofs', 'overlay')


class Apt:
    """A folder of programs that stand in for apt's, and the cache that fetch-guest fills by them."""

    def __init__(self, path):
        self.path = path
        self.bin = path / 'bin'
        self.cache = path / 'cache'
        self.bin.mkdir()
        self.environment = {'PATH': f'{self.bin}:/usr/bin:/bin', 'HOME': str(path), 'NESTBOX_DEV_CACHE': str(self.cache)}
        self.program('dpkg', 'case $1 in --print-architecture) echo amd64 ;; *) exec /usr/bin/dpkg "$@" ;; esac')

    def program(self, name, script):
        path = self.bin / name
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)

    def package(self, name, version, files):
        """A real Debian package with these files; the fake apt offers and delivers it."""
        tree = self.path / name
        (tree / 'DEBIAN').mkdir(parents=True)
        (tree / 'DEBIAN' / 'control').write_text(
            f'Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: none\nDescription: a test\n')
        for file, text in files.items():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_text(text)
        deb = self.path / f'{name}.deb'
        subprocess.run(['dpkg-deb', '--root-owner-group', '-Znone', '-b', tree, deb], check=True, capture_output=True)
        return deb

    def offer(self, kernel, busybox, digest_of=lambda deb: hashlib.sha256(deb.read_bytes()).hexdigest()):
        self.program('apt-cache', f'''
case "$1 $2" in
"depends linux-image-cloud-amd64") printf 'linux-image-cloud-amd64\\n  Depends: {KERNEL}\\n' ;;
"policy {KERNEL}") printf '{KERNEL}:\\n  Installed: (none)\\n  Candidate: 6.1.9-1\\n' ;;
"policy {BUSYBOX}") printf '{BUSYBOX}:\\n  Installed: (none)\\n  Candidate: 1:1.35.0-4\\n' ;;
"show {KERNEL}=6.1.9-1") echo 'SHA256: {digest_of(kernel)}' ;;
"show {BUSYBOX}=1:1.35.0-4") echo 'SHA256: {digest_of(busybox)}' ;;
*) exit 100 ;;
esac''')
        self.program('apt-get', f'''
for last; do :; done
case $last in
{KERNEL}=6.1.9-1) cp {kernel} kernel_6.1.9-1_amd64.deb ;;
{BUSYBOX}=1:1.35.0-4) cp {busybox} busybox_1.35.0-4_amd64.deb ;;
update) ;;
*) exit 100 ;;
esac''')

    def fetch(self, *argv, **environment):
        return subprocess.run([ROOT / 'tools' / 'fetch-guest', *argv], capture_output=True, text=True,
                              env={**self.environment, **environment})

    def left(self):
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.exists() else []


@pytest.fixture
def apt(tmp_path):
    """An apt that offers one kernel, with the module virtio_blk that needs virtio, one that nobody wants, and the rest built in."""
    apt = Apt(tmp_path)
    modules = f'lib/modules/{RELEASE}'
    files = {f'{modules}/{file}': file for file in (*KEPT, 'kernel/drivers/block/floppy.ko')}
    files |= {f'{modules}/modules.builtin': ''.join(f'kernel/{name}.ko\n' for name in BUILTIN), f'{modules}/modules.order': ''}
    kernel = apt.package(KERNEL, '6.1.9-1', {f'boot/vmlinuz-{RELEASE}': 'a kernel', f'usr/share/doc/{KERNEL}/copyright': 'GPL', **files})
    busybox = apt.package(BUSYBOX, '1:1.35.0-4', {'bin/busybox': 'a busybox', f'usr/share/doc/{BUSYBOX}/copyright': 'GPL'})
    # The real depmod reads ELF files; this one writes what it would have found.
    apt.program('depmod', f'printf "{KEPT[0]}: {KEPT[1]}\\n{KEPT[1]}:\\nkernel/drivers/block/floppy.ko:\\n" >"$2/{modules}/modules.dep"')
    apt.offer(kernel, busybox)
    apt.debs = (kernel, busybox)
    return apt


def test_the_folder_has_the_kernel_busybox_and_only_the_wanted_modules(apt):
    result = apt.fetch()
    assert result.returncode == 0, result.stderr
    folder = pathlib.Path(result.stdout.rstrip('\n'))
    assert (folder / 'vmlinuz').read_text() == 'a kernel'
    assert (folder / 'version').read_text() == RELEASE + '\n'
    assert (folder / 'busybox').read_text() == 'a busybox'
    assert sorted(str(path.relative_to(folder / 'modules')) for path in folder.rglob('*.ko')) == sorted(KEPT)
    assert apt.left() == [folder.name]


def test_what_is_there_is_used_without_asking_apt(apt):
    first = apt.fetch()
    for name in ('apt-get', 'apt-cache', 'depmod'):
        apt.program(name, 'echo "asked" >&2; exit 1')
    second = apt.fetch()
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, '')


def test_an_incomplete_folder_is_not_used(apt):
    folder = pathlib.Path(apt.fetch().stdout.rstrip('\n'))
    broken = folder.with_name(folder.name.replace('6.1.9', '6.1.10'))
    broken.mkdir()
    assert apt.fetch().stdout == f'{folder}\n'


@pytest.mark.parametrize('wrong', [0, 1])
def test_a_package_with_another_digest_is_refused(apt, wrong):
    apt.offer(*apt.debs, digest_of=lambda deb: '0' * 64 if deb == apt.debs[wrong] else hashlib.sha256(deb.read_bytes()).hexdigest())
    result = apt.fetch()
    assert (result.returncode, result.stdout) == (1, '')
    assert f"apt's signed lists say {'0' * 64}" in result.stderr
    assert apt.left() == []


def test_root_refreshes_lists_that_name_a_package_the_mirror_no_longer_has(apt):
    apt.program('id', 'echo 0')
    (apt.bin / 'apt-get').rename(apt.bin / 'apt-get.fresh')
    apt.program('apt-get', f'''
case "$*" in
"-qq update") mv {apt.bin}/apt-get.fresh {apt.bin}/apt-get ;;
*) echo "E: 404 Not Found" >&2; exit 100 ;;
esac''')
    result = apt.fetch()
    assert result.returncode == 0, result.stderr
    assert apt.left() == [pathlib.Path(result.stdout.rstrip('\n')).name]


def test_without_a_network_apts_own_message_stays_and_the_package_is_named(apt):
    apt.program('apt-get', 'echo "E: Could not resolve deb.debian.org" >&2; exit 100')
    result = apt.fetch()
    assert (result.returncode, result.stdout) == (1, '')
    assert 'Could not resolve' in result.stderr and f"download '{KERNEL}=6.1.9-1'" in result.stderr
    assert apt.left() == []


def test_without_package_lists_the_way_out_is_named(apt):
    apt.program('apt-cache', 'exit 100')
    apt.program('id', 'echo 1000')
    result = apt.fetch()
    assert (result.returncode, result.stdout) == (1, '')
    assert result.stderr == 'fetch-guest: apt has no package lists here; as root: apt-get update\n'


def test_root_makes_the_missing_package_lists(apt):
    apt.program('id', 'echo 0')
    (apt.bin / 'apt-cache').rename(apt.bin / 'apt-cache.later')
    apt.program('apt-cache', 'exit 100')
    (apt.bin / 'apt-get').rename(apt.bin / 'apt-get.later')
    apt.program('apt-get', f'''
case "$*" in
"-qq update") mv {apt.bin}/apt-cache.later {apt.bin}/apt-cache ;;
*) exec {apt.bin}/apt-get.later "$@" ;;
esac''')
    result = apt.fetch()
    assert result.returncode == 0, result.stderr


def test_a_full_disk_is_seen_before_the_download(apt):
    apt.program('df', 'printf "Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/x 10 5 2048 50%% /\\n"')
    result = apt.fetch()
    assert (result.returncode, result.stdout) == (1, '')
    assert 'has 2 MB left' in result.stderr and apt.left() == []


@pytest.mark.parametrize('cache, says', [('relative', 'must be an absolute path'), ('/tmp/two words', 'has a blank in it')])
def test_a_cache_folder_that_a_build_could_not_name_is_refused(apt, cache, says):
    result = apt.fetch(NESTBOX_DEV_CACHE=cache)
    assert (result.returncode, result.stdout) == (1, '') and says in result.stderr


def test_a_kernel_without_a_needed_module_is_refused(apt):
    apt.program('depmod', 'mkdir -p "$2/lib/modules/$3"; : >"$2/lib/modules/$3/modules.dep"')
    result = apt.fetch()
    assert (result.returncode, result.stdout) == (1, '')
    assert f"kernel '{RELEASE}' has no module 'virtio_blk'" in result.stderr
    assert apt.left() == []


def test_update_takes_what_debian_has_now(apt):
    old = apt.cache / 'guest1-amd64-linux_6.0.1-1-busybox_1.30-1'
    (old / 'modules').mkdir(parents=True)
    for name in ('vmlinuz', 'busybox', 'modules/modules.dep'):
        (old / name).write_text('old')
    assert apt.fetch().stdout == f'{old}\n'
    new = apt.fetch('--update')
    assert new.returncode == 0, new.stderr
    assert 'linux_6.1.9-1' in new.stdout
    assert apt.fetch().stdout == new.stdout

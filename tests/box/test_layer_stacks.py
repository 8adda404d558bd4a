# SPDX-License-Identifier: Apache-2.0
"""The tree on the disk is the reference unpacker's, entry by entry: random stacks of layers, and one with every odd entry.

Each stack is unpacked by umoci into a folder and by us onto a disk, which a lister reads back that shares no code with the writer.
"""
import hashlib
import io
import os
import pathlib
import random
import shutil
import stat
import subprocess
import tarfile
import urllib.parse

import pytest

import layout
import nestbox
from nestbox import rounds

LIST_DISK = nestbox.PROGRAM.parent / 'tests' / 'disk' / 'list-disk'

pytestmark = [pytest.mark.tools('umoci'), pytest.mark.skipif(os.geteuid() != 0, reason='umoci gives files their owners only as root')]

NAMES = ('a', 'b', 'c', 'd', 'e', 'name with space', 'ü', 'x' * 255)
KINDS = (['file'] * 5 + ['folder'] * 4 + ['symlink'] * 2 + ['hardlink'] * 2 + ['fifo', 'character'] + ['whiteout'] * 4 + ['opaque'] * 2)


class Stack:
    """Layers made of a seed. What would be an error for every unpacker (a hard link to nothing) is not made."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.files, self.folders = set(), {''}  # as far as known without following links

    def path(self):
        depth = self.random.choice((1, 1, 2, 2, 3))
        return '/'.join(self.random.choice(NAMES[:5] if level else NAMES) for level in range(depth))

    def entry(self, name, kind):
        entry = tarfile.TarInfo(name)
        entry.mode = self.random.choice((0o644, 0o755, 0o4755, 0o1777, 0o600, 0o000, 0o2775))
        entry.uid, entry.gid = self.random.choice((0, 1000, 65534, 2**31 - 2)), self.random.choice((0, 5, 1 << 20))
        entry.mtime = self.random.choice((0, 1, 1700000000, 1700000000.123456789, 2**31 + 5))
        if kind in ('file', 'folder') and self.random.random() < 0.3:
            entry.pax_headers = {'SCHILY.xattr.user.test': self.random.choice(('value', '', 'ü'))}
        return entry

    def add(self, tar, kind, used):
        name = self.path()
        if name in used:  # what several entries of one layer with one name mean, unpackers do not agree on
            return
        used.add(name)
        entry, data = self.entry(name, kind), b''
        if kind == 'file':
            data = self.random.randbytes(self.random.choice((0, 1, 4096, 5000, 100000)))
            entry.size = len(data)
        elif kind == 'folder':
            entry.type = tarfile.DIRTYPE
        elif kind == 'symlink':
            entry.type, entry.linkname = tarfile.SYMTYPE, self.random.choice(('a', '../b', '/c', 'nowhere', '/d/e', '../../../..', 'x' * 100))
        elif kind == 'hardlink':
            targets = sorted(file for file in self.files if file != name and not file.startswith(f'{name}/'))
            if not targets:
                return
            entry.type, entry.linkname = tarfile.LNKTYPE, self.random.choice(targets)
        elif kind == 'fifo':
            entry.type = tarfile.FIFOTYPE
        elif kind == 'character':
            entry.type, entry.devmajor, entry.devminor = tarfile.CHRTYPE, self.random.choice((1, 4095)), self.random.choice((3, 1048575))
        elif kind in ('whiteout', 'opaque'):
            folder, _, last = name.rpartition('/')
            entry.name = '/'.join(filter(None, (folder, '.wh.' + (last if kind == 'whiteout' else '.wh..opq'))))
            if len(entry.name.rsplit('/', 1)[-1]) > 255:
                return
            entry.mode, entry.pax_headers = 0o644, {}
        tar.addfile(entry, io.BytesIO(data))
        return name if kind == 'file' else None

    def layer(self):
        buffer = io.BytesIO()
        used, made = set(), set()
        with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as tar:
            for _ in range(self.random.randrange(1, 14)):
                made.add(self.add(tar, self.random.choice(KINDS), used))
        self.files = {name for name in made if name}  # hard links lead into their own layer
        return buffer.getvalue()


def tree_of_folder(root):
    """The same lines as list-disk's, as {path: fields}."""
    found = {}
    root = os.fsencode(root)
    for path in [root, *(os.path.join(where, name) for where, folders, files in os.walk(root) for name in folders + files)]:
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        extra = b''
        if kind == stat.S_IFREG:
            with open(path, 'rb') as file:
                extra = hashlib.sha256(file.read()).hexdigest().encode()
        elif kind == stat.S_IFLNK:
            extra = os.readlink(path)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            extra = f'{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}'.encode()
        attributes = {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False)
                      for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(('security.selinux', 'system.'))}
        found[path[len(root):] or b'/'] = {
            'type': {stat.S_IFREG: 'file', stat.S_IFDIR: 'folder', stat.S_IFLNK: 'symlink', stat.S_IFCHR: 'character', stat.S_IFBLK: 'block',
                     stat.S_IFIFO: 'fifo'}[kind],
            'mode': stat.S_IMODE(status.st_mode), 'owner': (status.st_uid, status.st_gid), 'mtime': divmod(status.st_mtime_ns, 10**9),
            'inode': status.st_ino, 'size': status.st_size if kind == stat.S_IFREG else 0, 'extra': extra, 'xattrs': attributes}
    return found


def tree_of_disk(disk):
    lines = subprocess.run([LIST_DISK, disk], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    found = {}
    plain = urllib.parse.unquote_to_bytes
    for line in lines:
        path, kind, mode, uid, gid, seconds, nanoseconds, inode, size, extra, xattrs = line.split('\t')
        pairs = (pair.partition('=') for pair in xattrs.split(',') if pair)
        found[plain(path)] = {'type': kind, 'mode': int(mode, 8), 'owner': (int(uid), int(gid)), 'mtime': (int(seconds), int(nanoseconds)),
                              'inode': inode, 'size': int(size), 'extra': plain(extra),
                              'xattrs': {plain(name): plain(value) for name, _, value in pairs}}
    return found


def named_times(layers):
    """Paths whose time some layer says; the others' are what an unpacker likes."""
    named = set()
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            named |= {b'/' + os.fsencode(entry.name.strip('/')) for entry in tar}
    return named


def same_links(tree):
    """Which names are one file."""
    by_inode = {}
    for path, fields in tree.items():
        if fields['type'] != 'folder':
            by_inode.setdefault(fields['inode'], set()).add(path)
    return sorted(sorted(paths) for paths in by_inode.values() if len(paths) > 1)


def differences(ours, theirs, named):
    found = [f'only ours: {path}' for path in sorted(ours.keys() - theirs.keys())]
    found += [f'only theirs: {path}' for path in sorted(theirs.keys() - ours.keys())]
    for path in sorted(ours.keys() & theirs.keys()):
        for field in ('type', 'mode', 'owner', 'mtime', 'size', 'extra', 'xattrs'):
            a, b = ours[path][field], theirs[path][field]
            if field == 'mtime' and (path not in named or ours[path]['type'] == 'folder'):
                continue
            if field == 'mode' and ours[path]['type'] == 'symlink':
                continue
            if a != b:
                found.append(f'{path}: {field}: ours {a!r}, theirs {b!r}')
    if same_links(ours) != same_links(theirs):
        found.append(f'hard links: ours {same_links(ours)}, theirs {same_links(theirs)}')
    return found


def compare(nb, folder, layers):
    """None, or how our disk differs from umoci's tree, or which of the two refuses."""
    image = layout.Layout(folder / 'layout')
    image.image('x', layers)
    theirs = subprocess.run(['umoci', 'unpack', '--image', f'{image.path}:x', folder / 'bundle'], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, check=False)
    ours = nb.run('create', f'oci:{image.path}:x', 'true')
    try:
        if theirs.returncode or ours.code:
            return None if theirs.returncode and ours.code else f'umoci {theirs.returncode}: {theirs.stderr.decode()[-300:]}\nours: {ours}'
        disks = list((nb.home / 'images').glob('*.ext4'))
        assert len(disks) == 1
        checked = subprocess.run(['e2fsck', '-fn', disks[0]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert checked.returncode == 0, checked.stdout.decode()
        return '\n'.join(differences(tree_of_disk(disks[0]), tree_of_folder(folder / 'bundle' / 'rootfs'), named_times(layers))) or None
    finally:
        nb.ok('rm', '-a')
        for listed in nb.json('images', '--format', 'json'):
            nb.ok('rmi', listed['name'])
        shutil.rmtree(folder / 'bundle', ignore_errors=True)


def describe(layers):
    text = []
    for number, layer in enumerate(layers):
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            text += [f'layer {number + 1}: {entry.type.decode()} {entry.name!r} -> {entry.linkname!r} {entry.mode:o}' for entry in tar]
    return '\n'.join(text)


@pytest.mark.parametrize('part', range(4))
def test_s40_random_layers_give_the_reference_unpacker_s_tree(nb, files, part):
    for seed in range(part * 1000, part * 1000 + rounds(12, 100)):
        folder = files / str(seed)
        folder.mkdir()
        stack = Stack(seed)
        layers = [stack.layer() for _ in range(stack.random.randrange(1, 6))]
        wrong = compare(nb, folder, layers)
        assert not wrong, f'seed {seed}:\n{wrong}\n{describe(layers)}'
        shutil.rmtree(folder)


# What `setcap cap_net_raw+ep` writes: version 2 with the effective bit, capability 13 permitted (linux/capability.h, vfs_cap_data).
NET_RAW_EFFECTIVE = (0x02000001).to_bytes(4, 'little') + (1 << 13).to_bytes(4, 'little') + bytes(12)


def odd_tree(root):
    """A folder with everything that a tar by GNU can carry."""
    root.mkdir()
    (root / 'folder').mkdir(mode=0o2755)
    for number, mode in enumerate((0o000, 0o555, 0o4711, 0o6755, 0o1644)):
        file = root / f'mode{number}'
        file.write_text(str(number))
        file.chmod(mode)
    for number, owner in enumerate(((2**31 - 2, 2**31 - 2), (65535, 65536), (1, 2))):
        (root / f'owner{number}').write_text('x')
        os.chown(root / f'owner{number}', *owner)
    for number, nanoseconds in enumerate((-(10**18) - 1, -1, 1, 2**32 * 10**9 + 999999999)):
        (root / f'time{number}').write_text('x')
        os.utime(root / f'time{number}', ns=(0, nanoseconds))
    deep = root / 'deep'
    for level in range(30):
        deep = deep / f'{level:03}-{"d" * 60}'
    deep.mkdir(parents=True)
    (deep / ('f' * 255)).write_text('a long way down')
    os.link(root / 'mode1', deep / 'hard link')
    os.symlink('x' * 4000, root / 'long link')
    os.symlink('x' * 59, root / 'link in the inode')
    os.symlink('x' * 60, root / 'link in a block')
    (root / b'\xff\xfe not UTF-8'.decode(errors='surrogateescape')).write_text('x')
    (root / 'new\nline and\ttab').write_text('x')
    os.mkfifo(root / 'fifo')
    os.mknod(root / 'character', 0o620 | stat.S_IFCHR, os.makedev(4, 64))
    os.mknod(root / 'block', 0o660 | stat.S_IFBLK, os.makedev(259, 70000))
    with open(root / 'sparse', 'wb') as file:
        for offset in (0, 1 << 20, 5 << 20, (20 << 20) - 1):
            file.seek(offset)
            file.write(b'data')
        file.truncate(30 << 20)
    (root / 'holes only').touch()
    os.truncate(root / 'holes only', 3 << 20)
    (root / 'attributes').write_text('x')
    for name, value in (('user.text', b'value'), ('user.bytes', bytes(range(1, 256))), ('user.large', b'v' * 3000),
                        ('security.capability', NET_RAW_EFFECTIVE), ('trusted.test', b'x')):
        os.setxattr(root / 'attributes', name, value)
    os.setxattr(root / 'folder', 'user.folder', b'too')
    many = root / 'many'
    many.mkdir()
    for number in range(3000):
        (many / f'file {number}').touch()
    return root


def disk_of(nb, folder, layers):
    """The disk that is made of these layers."""
    image = layout.Layout(folder / 'layout')
    image.image('x', layers)
    nb.ok('create', f'oci:{image.path}:x', 'true')
    disk, = (nb.home / 'images').glob('*.ext4')
    return disk


@pytest.mark.parametrize('form', ['gnu', 'posix'])
def test_s43_every_odd_entry_is_as_it_was(nb, files, form):
    """What the tar was made of is the truth; GNU's own format has no place for attributes, and umoci does not read its sparse files."""
    root = odd_tree(files / 'odd')
    words = ['tar', '--numeric-owner', '--sparse', f'--format={form}', '-cf', '-', '-C', root, '.']
    layer = subprocess.run(words + (['--xattrs', '--xattrs-include=*'] if form == 'posix' else []), stdout=subprocess.PIPE, check=True).stdout
    ours, truth = tree_of_disk(disk_of(nb, files, [layer])), tree_of_folder(root)
    for path in truth if form == 'gnu' else ():
        truth[path]['xattrs'] = {}
        truth[path]['mtime'] = (truth[path]['mtime'][0], ours[path]['mtime'][1])  # nor one for nanoseconds
    wrong = differences(ours, truth, set(truth))
    assert len(truth) > 3000 and not wrong, '\n'.join(wrong[:20])


def test_s43_every_odd_entry_is_as_the_reference_unpacker_has_it(nb, files):
    layer = subprocess.run(['tar', '--numeric-owner', '--sparse', '--format=posix', '--xattrs', '--xattrs-include=*', '-cf', '-', '-C',
                            odd_tree(files / 'odd'), '.'], stdout=subprocess.PIPE, check=True).stdout
    wrong = compare(nb, files, [layer])
    assert not wrong, wrong


@pytest.mark.tools('mmdebstrap')
def test_s40_a_debian_image(nb, files, python_image):
    bundle = files / 'bundle'
    subprocess.run(['umoci', 'unpack', '--image', f'{python_image}:latest', bundle], stdout=subprocess.DEVNULL, check=True)
    nb.ok('create', f'oci:{python_image}:latest', 'true')
    disk, = (nb.home / 'images').glob('*.ext4')
    ours, theirs = tree_of_disk(disk), tree_of_folder(bundle / 'rootfs')
    assert len(ours) > 1000 and not differences(ours, theirs, set(ours)), '\n'.join(differences(ours, theirs, set(ours))[:20])

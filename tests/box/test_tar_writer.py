# SPDX-License-Identifier: Apache-2.0
"""Archives that we write are read by everybody else as what they are: by GNU tar, Python's tarfile, umoci (which has Go's archive/tar),
libarchive where its bsdtar is installed, and by our own import.
"""
import dataclasses
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import urllib.parse

import pytest

import nestbox
from test_layer_stacks import compare, tree_of_folder

WRITE_ARCHIVE = nestbox.PROGRAM.parent / 'tests' / 'tar' / 'write-archive'
ALPHABET = b'abcdefghijklmnopqrstuvwxyz'
IS_ROOT = os.geteuid() == 0

# bsdtar is in no package that the tests need.
EXTRACTORS = [['tar', '--xattrs', '--xattrs-include=*', '-xpf', '-', '-C']]
if shutil.which('bsdtar'):
    EXTRACTORS.append(['bsdtar', '--xattrs', '-xpf', '-', '-C'])

# What GNU tar says of entries that it reads and makes: a record that it does not know, and times that it thinks unlikely.
HARMLESS = re.compile("Ignoring unknown extended header keyword 'hdrcharset'|implausibly old time stamp|in the future")


@dataclasses.dataclass
class Entry:
    type: str
    path: bytes
    target: bytes = b''
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: tuple = (1700000000, 0)
    device: tuple = (0, 0)
    size: int = 0
    map: list = None
    xattrs: dict = dataclasses.field(default_factory=dict)

    def line(self):
        quote = urllib.parse.quote_from_bytes
        pieces = '-' if self.map is None else ','.join(f'{offset}:{length}' for offset, length in self.map)
        xattrs = ','.join(f'{quote(name)}={quote(value)}' for name, value in self.xattrs.items())
        return '\t'.join(map(str, (self.type, quote(self.path), quote(self.target), f'{self.mode:o}', self.uid, self.gid, *self.mtime,
                                   *self.device, self.size, pieces, xattrs))) + '\n'

    def content(self):
        letters = ALPHABET * (self.size // 26 + 1)
        content = bytearray(self.size)
        for offset, length in [(0, self.size)] if self.map is None else self.map:
            content[offset:offset + length] = letters[offset:offset + length]
        return bytes(content)

    def extra(self):
        return {'file': lambda: hashlib.sha256(self.content()).hexdigest().encode(), 'symlink': lambda: self.target,
                'character': lambda: b'%d:%d' % self.device, 'block': lambda: b'%d:%d' % self.device}.get(self.type, bytes)()


LONG = b'/'.join([b'long'] * 20)  # 99 bytes: what is in it needs more than a header's name field
DEEP = b'/'.join([b'deep'] * 60)  # and more than name and prefix
FOLDERS = [b'/'.join([name] * count) for name, most in ((b'long', 20), (b'deep', 60)) for count in range(1, most + 1)]
ENTRIES = [
    *(Entry('folder', path, mode=0o755) for path in FOLDERS),
    Entry('file', b'empty'),
    Entry('file', b'file', mode=0o4755, size=100000, uid=1000, gid=2097151),
    Entry('file', b'block', size=512),
    Entry('hardlink', b'hard', b'file', mode=0o4755, uid=1000, gid=2097151),
    Entry('symlink', b'symlink', b'../nowhere', mode=0o777),
    Entry('symlink', b'long-symlink', LONG + b'/1234', mode=0o777),
    Entry('symlink', b'symlink-of-bytes', b'\xff' * 200, mode=0o777),
    Entry('fifo', b'fifo', mode=0o600),
    Entry('folder', b'sticky', mode=0o1777, mtime=(5, 0)),
    Entry('file', LONG + b'/file', size=3),
    Entry('file', LONG + b'/' + b'n' * 101, size=3),
    Entry('hardlink', b'long-hard', LONG + b'/file'),
    Entry('file', DEEP + b'/file', size=3),
    Entry('folder', DEEP + b'/folder', mode=0o700),
    Entry('file', 'ü e\u0301 \n\t='.encode()),
    Entry('file', b'\xff\xfe'),
    Entry('file', DEEP + '/ü'.encode(), size=4),
    Entry('file', DEEP + b'/\xff', size=5),
    Entry('file', b'owner', uid=2097152, gid=2**32 - 2),
    Entry('file', b'before-1970', mtime=(-1, 0)),
    Entry('file', b'just-before-1970', mtime=(-1, 500000000)),
    Entry('file', b'nanoseconds', mtime=(1700000000, 123456789)),
    Entry('folder', b'nanoseconds-of-folder', mtime=(1700000000, 1), mode=0o755),
    Entry('file', b'late', mtime=(2**33 + 1, 0)),
    Entry('file', b'attributes', size=1, xattrs={b'user.text': b'value', b'user.bytes': bytes(range(256)), b'user.\xc3\xbc': b'\n'}),
    Entry('folder', b'attributes-of-folder', mode=0o755, xattrs={b'user.long': b'v' * 2000}),
    Entry('file', b'sparse', size=1 << 20, map=[(0, 512), (65536, 4096), ((1 << 20) - 10, 10)]),
    Entry('file', b'sparse-to-the-end', size=1 << 20, map=[(4096, 5)]),
    Entry('file', b'sparse-of-nothing', size=1 << 20, map=[]),
    Entry('file', b'sparse-and-empty', size=0, map=[]),
    Entry('file', DEEP + b'/sparse', size=8192, map=[(4096, 3)], mtime=(1, 2), xattrs={b'user.a': b'b'}),
    Entry('file', b'sparse-\xff', size=8192, map=[(4096, 3)]),
    Entry('file', b'last', size=1),
]
if IS_ROOT:
    ENTRIES += [Entry('character', b'null', device=(1, 3), mode=0o666), Entry('block', b'largest', device=(4095, 1048575))]


def archive_of(entries):
    lines = ''.join(entry.line() for entry in entries)
    return subprocess.run([WRITE_ARCHIVE], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture(scope='module')
def archive():
    return archive_of(ENTRIES)


def expected_of(entry):
    original = next(e for e in ENTRIES if e.path == entry.target) if entry.type == 'hardlink' else entry
    return {'type': original.type, 'mode': original.mode, 'owner': (original.uid, original.gid), 'mtime': original.mtime,
            'size': original.size, 'extra': original.extra(), 'xattrs': original.xattrs}


@pytest.mark.parametrize('extractor', EXTRACTORS, ids=lambda extractor: extractor[0])
def test_an_extracted_archive_is_what_was_written(archive, files, extractor):
    folder = files / 'extracted'
    folder.mkdir()
    result = subprocess.run([*extractor, folder], input=archive, stderr=subprocess.PIPE, check=False)
    said = [line for line in result.stderr.decode().splitlines() if not HARMLESS.search(line)]
    assert (result.returncode, said) == (0, [])
    found = tree_of_folder(folder)
    ignored = ('inode',) if IS_ROOT else ('inode', 'owner')
    for entry in ENTRIES:
        fields, expected = found.pop(b'/' + entry.path), expected_of(entry)
        if entry.path in FOLDERS or extractor[0] == 'bsdtar' and entry.mtime[0] < 0 < entry.mtime[1]:
            expected['mtime'] = fields['mtime']  # a folder's changes with what comes into it; libarchive reads -0.5 as 0.5
        if not IS_ROOT and entry.mode & 0o7000:
            expected['mode'] = fields['mode']
        assert {k: v for k, v in fields.items() if k not in ignored} == {k: v for k, v in expected.items() if k not in ignored}, entry
    assert list(found) == [b'/']


def test_python_reads_what_was_written(archive):
    types = {'file': tarfile.REGTYPE, 'hardlink': tarfile.LNKTYPE, 'symlink': tarfile.SYMTYPE, 'fifo': tarfile.FIFOTYPE,
             'folder': tarfile.DIRTYPE, 'character': tarfile.CHRTYPE, 'block': tarfile.BLKTYPE}
    with tarfile.open(fileobj=io.BytesIO(archive), encoding='utf-8', errors='surrogateescape') as tar:
        members = tar.getmembers()
        assert len(members) == len(ENTRIES)
        for entry, member in zip(ENTRIES, members):
            assert (os.fsencode(member.name), member.type) == (entry.path, types[entry.type])
            assert os.fsencode(member.linkname) == entry.target
            assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
            assert member.mtime == entry.mtime[0] + entry.mtime[1] / 10**9
            assert (member.devmajor, member.devminor) == entry.device
            assert member.size == entry.size
            assert {os.fsencode(key[13:]): os.fsencode(value) for key, value in member.pax_headers.items()
                    if key.startswith('SCHILY.xattr.')} == entry.xattrs
            if entry.type == 'file':
                assert tar.extractfile(member).read() == entry.content(), entry


@pytest.mark.tools('umoci')
@pytest.mark.skipif(not IS_ROOT, reason='umoci gives files their owners only as root')
def test_it_is_the_same_layer_to_us_and_to_umoci(nb, files, archive):
    assert compare(nb, files, [archive]) is None


def test_an_archive_is_ustar_where_ustar_can_say_it():
    plain = archive_of([entry for entry in ENTRIES if entry.path in (b'long', b'file', b'hard', b'symlink', b'fifo', LONG + b'/file')])
    assert b'PaxHeader' not in plain
    listed = subprocess.run(['tar', '--numeric-owner', '-tv'], input=plain, stdout=subprocess.PIPE, check=True,
                            env={**os.environ, 'TZ': 'UTC', 'LC_ALL': 'C'})
    assert listed.stdout.decode().splitlines() == [
        'drwxr-xr-x 0/0               0 2023-11-14 22:13 long/',
        '-rwsr-xr-x 1000/2097151 100000 2023-11-14 22:13 file',
        'hrwsr-xr-x 1000/2097151      0 2023-11-14 22:13 hard link to file',
        'lrwxrwxrwx 0/0               0 2023-11-14 22:13 symlink -> ../nowhere',
        'prw------- 0/0               0 2023-11-14 22:13 fifo',
        f'-rw-r--r-- 0/0               3 2023-11-14 22:13 {LONG.decode()}/file',
    ]

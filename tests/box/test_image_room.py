# SPDX-License-Identifier: Apache-2.0
"""The size of the store: which images go for a new one, and which stay."""
import contextlib
import json
import os
import sqlite3

import pytest

from layout import Tar
from nestbox import rounds, wait_until
from registry import FakeRegistry

MIB = 1 << 20


@pytest.fixture
def store(nb, files):
    """Sets the size of the store: store(bytes)."""
    path = files / 'images.json'
    nb.env['NESTBOX_IMAGES'] = str(path)

    def write(size=None):
        path.write_text(json.dumps({'store_max_bytes': size} if size else {}))
    write()
    return write


def tar(mib=4):
    """A root file system of so many MiB that nothing makes smaller."""
    return Tar().file('content', os.urandom(mib * MIB)).bytes()


def names(nb):
    return sorted(image['name'] for image in nb.json('images', '--format', 'json'))


def taken(nb):
    usage = nb.json('system', 'df', '--format', 'json')
    return usage['images']['size_bytes'] + usage['blobs']['size_bytes']


def disks(nb):
    return [path for path in nb.files() if path.endswith('.ext4')]


def blobs(nb):
    return {path.rsplit('/', 1)[1] for path in nb.files() if path.startswith('layout/blobs/') and len(path) > 70}


def an_hour_passes(nb):
    """For the images: a box that is made within a minute of their last use changes nothing."""
    with contextlib.closing(sqlite3.connect(nb.home / 'nestbox.db')) as database:
        database.execute('UPDATE images SET used_at_ms = used_at_ms - 3600000')
        database.commit()


@pytest.fixture
def three(nb, store):
    """Three images, 'a' the oldest, and how much one takes."""
    for name in 'abc':
        nb.ok('import', '-', name, input=tar())
    return taken(nb) // 3


def test_what_was_used_longest_ago_goes_first(nb, store, three):
    store(4 * three - MIB)
    nb.ok('tag', 'a', 'other')  # used now
    nb.ok('import', '-', 'd', input=tar())
    assert names(nb) == ['a', 'c', 'd', 'other:latest'] and len(disks(nb)) == 3
    an_hour_passes(nb)
    nb.ok('create', '--name', 'x', 'c', '/none')
    nb.ok('rm', 'x')
    nb.ok('image', 'inspect', 'a')  # to be looked at is not to be used
    nb.ok('import', '-', 'e', input=tar())
    assert names(nb) == ['c', 'd', 'e'] and taken(nb) <= 4 * three - MIB  # 'a' went with both its names
    assert nb.run('create', 'a', '/none').code == 1


def test_no_more_goes_than_must(nb, store, three):
    store(4 * three + MIB)
    nb.ok('import', '-', 'd', input=tar())
    assert names(nb) == ['a', 'b', 'c', 'd']
    store(2 * three + MIB)
    assert names(nb) == ['a', 'b', 'c', 'd']  # until something is stored
    nb.ok('import', '-', 'e', input=tar())
    assert names(nb) == ['d', 'e']


def test_images_of_boxes_stay(nb, store, three):
    nb.ok('create', '--name', 'x', 'a', '/none')
    store(2 * three + MIB)
    result = nb.ok('import', '-', 'd', input=tar())
    assert names(nb) == ['a', 'd'] and 'store_max_bytes' not in result.err, result
    nb.ok('create', '--name', 'y', 'd', '/none')
    result = nb.ok('import', '-', 'e', input=tar())
    assert names(nb) == ['a', 'd', 'e']  # what was just stored stays too
    assert 'store_max_bytes' in result.err and 'boxes' in result.err and str(2 * three + MIB) in result.err, result
    nb.ok('rm', 'x', 'y')


def test_an_image_that_alone_is_too_large_is_refused_and_nothing_of_it_stays(homes, nb, store, three):
    store(three - MIB)
    result = nb.run('import', '-', 'd', input=tar())
    assert result.code == 1 and str(three - MIB) in result.err and '\nhint: raise store_max_bytes in images.json' in result.err, result
    assert names(nb) == ['a', 'b', 'c'] and len(disks(nb)) == 3  # the others do
    assert [path for path in nb.files() if '/.new-' in path] == []
    wait_until('the worker is gone', lambda: homes.new_processes() == [])
    store(three + MIB)
    nb.ok('import', '-', 'd', input=tar())
    assert names(nb) == ['d']


def test_the_built_in_image_goes_last_and_comes_back(nb, store):
    nb.ok('create', '--name', 'x', 'busybox', 'true')
    nb.ok('rm', 'x')
    busybox = taken(nb)
    nb.ok('import', '-', 'a', input=tar())
    one = taken(nb) - busybox
    store(busybox + one + MIB)
    nb.ok('import', '-', 'b', input=tar())
    assert names(nb) == ['b', 'busybox']
    store(one + busybox // 2)
    nb.ok('import', '-', 'c', input=tar())
    assert names(nb) == ['c']
    store()
    assert nb.ok('run', '--rm', 'busybox', 'echo', 'hi').text == 'hi'


@pytest.fixture
def registry(homes, oci):
    """'1' and '2' have a layer in common."""
    common = tar(2)
    for tag in '12':
        oci.image(tag, [common, Tar().file(tag, os.urandom(2 * MIB)).bytes()], Cmd=['/none'])
    with FakeRegistry(oci) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        yield registry


def test_blobs_count_and_go_with_their_images(nb, store, registry):
    first, second = (f'{registry.host}/app:{tag}' for tag in '12')
    nb.ok('pull', first)
    one = taken(nb)
    assert one > 2 * 4 * MIB - MIB  # disk and blobs
    before = blobs(nb)
    store(one + MIB)
    nb.ok('pull', second)
    assert names(nb) == [second] and taken(nb) <= one + MIB
    assert len(before & blobs(nb)) == 1 and len(blobs(nb)) == 4  # the layer in common; what was only the first's is gone
    store(one - MIB)
    result = nb.run('pull', first)
    assert result.code == 1 and 'store_max_bytes' in result.err, result
    assert names(nb) == [second] and len(blobs(nb)) == 4 and len(disks(nb)) == 1


def test_layers_that_cannot_be_kept_are_not_even_fetched(nb, store, registry):
    store(4 * MIB)
    result = nb.run('pull', f'{registry.host}/app:1')
    assert result.code == 1 and str(4 * MIB) in result.err and '\nhint: raise store_max_bytes in images.json' in result.err, result
    assert registry.blobs_asked_for() == [] and names(nb) == [] and blobs(nb) == set()


def test_blobs_that_no_image_has_go_before_any_image(nb, store, registry):
    nb.ok('pull', f'{registry.host}/app:1')
    one = taken(nb)
    left = nb.home / 'layout' / 'blobs' / 'sha256' / ('a' * 64)
    left.write_bytes(os.urandom(8 * MIB))
    store(one + 6 * MIB)
    nb.ok('import', '-', 'a', input=tar())
    assert names(nb) == [f'{registry.host}/app:1', 'a'] and not left.exists()


def test_two_programs_at_once_stay_below_the_size_together(nb, store, three):
    store(3 * three + MIB)
    for number in range(rounds(3, 30)):
        clients = [nb.popen('import', '-', f'{name}{number}', stdin=open_tar(nb, name)) for name in 'xy']
        results = [nb.finish(client) for client in clients]
        assert [result.code for result in results] == [0, 0], results
        assert {f'x{number}', f'y{number}'} <= set(names(nb)) and len(names(nb)) == 3 and len(disks(nb)) == 3
        assert taken(nb) <= 3 * three + MIB


def open_tar(nb, name):
    path = nb.home.parent / f'{name}.tar'
    path.write_bytes(tar())
    return open(path, 'rb')


def test_two_pulls_at_once_stay_below_the_size_together(nb, store, registry):
    nb.ok('pull', f'{registry.host}/app:1')
    store(taken(nb) + MIB)
    nb.ok('rmi', f'{registry.host}/app:1')
    clients = [nb.popen('pull', f'{registry.host}/app:{tag}') for tag in '12']
    results = [nb.finish(client) for client in clients]
    assert [result.code for result in results] == [0, 0], results
    assert len(names(nb)) == len(disks(nb)) == 1 and len(blobs(nb)) == 4

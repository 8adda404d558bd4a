# SPDX-License-Identifier: Apache-2.0
"""Images of a home: named anew, written out, cleared away."""
import json
import os
import subprocess
import tarfile

import pytest

import layout
from layout import Tar
from registry import FakeRegistry
from test_lists import documented_keys


@pytest.fixture
def image(oci, busybox_layer):
    return oci.image('1', [busybox_layer, Tar().folder('data').file('data/name', 'app').bytes()], Cmd=['cat', '/data/name'])


@pytest.fixture
def pulled(homes, nb, oci, image):
    """The name of an image that came from a registry."""
    with FakeRegistry(oci) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        nb.ok('pull', f'{registry.host}/team/app:1')
        yield f'{registry.host}/team/app:1'


def names(nb):
    return sorted(image['name'] for image in nb.json('images', '--format', 'json'))


def test_a_tag_is_another_name(nb, pulled):
    nb.ok('tag', pulled, 'mine')
    assert names(nb) == sorted([pulled, 'mine:latest'])
    assert nb.ok('run', '--rm', 'mine').text == 'app'
    nb.ok('rmi', pulled)
    assert nb.ok('run', '--rm', '--pull', 'never', 'mine:latest').text == 'app'
    nb.ok('rmi', 'mine')
    assert names(nb) == [] and not [path for path in nb.files() if 'layout/blobs/' in path and len(path) > 70]


def test_a_tag_moves(nb, pulled):
    nb.ok('create', 'busybox', 'true')
    nb.ok('tag', pulled, 'x:1')
    nb.ok('tag', 'busybox', 'x:1')
    assert nb.run('run', '--rm', 'x:1', 'test', '-e', '/data').code == 1
    assert nb.run('run', '--rm', pulled, 'test', '-e', '/data').code == 0


@pytest.mark.parametrize('source,target,word', [('nosuch', 'x', 'nosuch'), ('busybox', 'UPPER', 'UPPER'), ('busybox', '', ''),
                                                ('busybox', 'x@sha256:' + 'a' * 64, 'digest')])
def test_a_tag_that_cannot_be(nb, source, target, word):
    nb.ok('create', 'busybox', 'true')
    result = nb.run('tag', source, target)
    assert result.code == 1 and word in result.err and names(nb) == ['busybox'], result


def test_what_was_saved_is_what_the_registry_had(nb, homes, files, pulled, image):
    nb.ok('save', '-o', str(files / 'app.tar'), pulled)
    with tarfile.open(files / 'app.tar') as tar:
        index = json.load(tar.extractfile('index.json'))
        assert index['manifests'][0]['digest'] == image['manifest']['digest']
        for part in (image['manifest'], image['config'], *image['layers']):
            assert layout.digest_of(tar.extractfile(f'blobs/sha256/{part["digest"].removeprefix("sha256:")}').read()) == part['digest']
    other = homes.make('other')
    assert other.ok('load', '-i', str(files / 'app.tar')).text.startswith('Loaded image')
    assert other.ok('run', '--rm', image['config']['digest']).text == 'app'
    assert nb.ok('save', image['config']['digest'][:19]).out == (files / 'app.tar').read_bytes()


def test_a_tag_and_a_saved_copy_say_all_that_the_image_says(nb, homes, files, oci, busybox_layer):
    health = {'test': ['CMD', 'true'], 'interval_ns': None, 'timeout_ns': 10**9, 'start_period_ns': None, 'retries': None}

    def says(nb, name):
        image, = nb.json('image', 'inspect', name)
        return image['exposed_ports'], image['volumes'], image['shell'], image['health_check']
    oci.image('1', [busybox_layer], ExposedPorts={'80/tcp': {}}, Volumes={'/v': {}}, Shell=['/bin/sh'],
              Healthcheck={'Test': ['CMD', 'true'], 'Timeout': 10**9})
    with FakeRegistry(oci) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        nb.ok('pull', f'{registry.host}/app:1')
        nb.ok('tag', f'{registry.host}/app:1', 'mine')
        nb.ok('save', '-o', str(files / 'app.tar'), 'mine')
    other = homes.make('other')
    other.ok('load', '-i', str(files / 'app.tar'))
    id = nb.json('image', 'inspect', 'mine')[0]['id']
    assert says(nb, 'mine') == says(nb, f'{registry.host}/app:1') == says(other, id) == (['80/tcp'], ['/v'], ['/bin/sh'], health)


@pytest.mark.tools('skopeo')
def test_skopeo_takes_what_was_saved(nb, files, pulled, image):
    nb.ok('save', '-o', str(files / 'app.tar'), pulled)
    subprocess.run(['skopeo', 'copy', '--quiet', '--insecure-policy', f'oci-archive:{files}/app.tar', f'dir:{files}/copy'], check=True)
    assert json.loads((files / 'copy' / 'manifest.json').read_text())['config']['digest'] == image['config']['digest']


def test_a_save_that_fails_leaves_no_file(nb, files, pulled):
    nb.ok('create', 'busybox', 'true')
    for target, name, word in ((files / 'x.tar', 'nosuch', 'nosuch'), (files / 'no' / 'x.tar', pulled, 'no/x.tar')):
        result = nb.run('save', '-o', str(target), name)
        assert result.code == 1 and word in result.err, result
    assert [path for path in files.iterdir() if path.name != 'layout'] == []
    if os.path.exists('/dev/full'):
        with open('/dev/full', 'wb') as full:
            client = nb.popen('save', pulled, stdout=full)
            result = nb.finish(client)
        assert result.code == 1 and 'No space left' in result.err, result


def test_image_prune_removes_what_has_lost_its_name(nb, homes, pulled, oci, busybox_layer):
    old = nb.json('images', '--format', 'json')[0]['id']
    oci.image('1', [busybox_layer, Tar().file('new', 'new').bytes()], Cmd=['cat', '/new'])
    nb.ok('pull', pulled)
    assert nb.ok('image', 'prune').text == old
    assert nb.ok('image', 'prune').out == b''
    assert names(nb) == [pulled]
    nb.ok('create', '--name', 'b', 'busybox', 'true')
    removed = nb.ok('image', 'prune', '-a', '-f').lines
    assert len(removed) == 1 and names(nb) == ['busybox']
    nb.ok('rm', 'b')
    nb.ok('image', 'prune', '--all')
    assert names(nb) == [] and not [path for path in nb.files() if path.endswith('.ext4')]


def test_system_df_counts_what_is_there(nb, pulled, image):
    def usage():
        return nb.json('system', 'df', '--format', 'json')
    nb.ok('tag', pulled, 'again')
    before = usage()
    assert set(before) == {'images', 'boxes', 'volumes', 'blobs', 'templates', 'cache'} and all(set(kind) == documented_keys('Disk usage') for kind in before.values())
    assert (before['images']['count'], before['images']['active'], before['boxes']['count']) == (1, 0, 0)
    assert before['images']['reclaimable_bytes'] == before['images']['size_bytes'] > 1 << 20
    assert before['blobs']['size_bytes'] >= sum(layer['size'] for layer in image['layers'])
    nb.ok('create', '--name', 'b', pulled)
    nb.running_box(name='running')
    after = usage()
    assert (after['images']['count'], after['images']['active'], after['boxes']['count'], after['boxes']['active']) == (2, 2, 2, 1)
    assert after['images']['reclaimable_bytes'] == 0 and 0 < after['boxes']['reclaimable_bytes'] < after['boxes']['size_bytes']
    assert [line.split()[0] for line in nb.ok('system', 'df').lines] == ['TYPE', 'Images', 'Boxes', 'Blobs', 'Volumes', 'Templates', 'Cache']


def test_system_prune_removes_what_does_not_run_and_asks_first(nb, pulled):
    nb.running_box(name='running')
    nb.ok('create', '--name', 'made', pulled)
    nb.ok('run', '--name', 'over', 'busybox', 'true')
    nb.ok('tag', pulled, 'other')
    ids = {nb.inspect(name)['id'] for name in ('made', 'over')}
    result = nb.run('system', 'prune', input=b'y\n')
    assert result.code == 2 and '--force' in result.err and len(nb.boxes()) == 3, result
    result = nb.ok('system', 'prune', '-f')
    assert set(result.lines) == ids and result.err.startswith('reclaimed '), result
    assert [box['name'] for box in nb.boxes()] == ['running'] and names(nb) == sorted(['busybox', pulled, 'other:latest'])
    result = nb.ok('system', 'prune', '--all', '--force')
    assert len(result.lines) == 1 and names(nb) == ['busybox'], result
    assert nb.ok('exec', 'running', 'echo', 'still here').text == 'still here'

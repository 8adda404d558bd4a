# SPDX-License-Identifier: Apache-2.0
"""Boxes made into images, and images whose layers are not kept written out: by a machine that reads the disk, for the host never does."""
import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import tarfile

import pytest

import layout
from layout import Tar
from nestbox import wait_until

# Every kind of file, with what an archive has to keep of it. Times in the past, so that they differ from those of a copy.
FURNISH = r'''
set -e
mkdir -p /data/sub /data/empty
printf 'one\0two' >/data/file
ln /data/file /data/sub/again
ln -s ../nowhere /data/link
mkfifo -m 600 /data/fifo
mknod -m 640 /data/device c 1 3
truncate -s 9000001 /data/sparse
printf x | dd of=/data/sparse bs=1 seek=5000000 conv=notrunc 2>/dev/null
printf '#!/bin/sh\necho ran\n' >/data/tool
chmod 4755 /data/tool
chown 1234:4321 /data/file
chmod 1777 /data/empty
rm /etc/group
touch -d @1000000000 /data/file /data/tool /data/sub
'''
LIST = r'''cd /; find . -xdev | sort | grep -vxE '\.|\./(dev|proc|sys|etc|etc/(hosts|hostname|resolv.conf))' | xargs stat -c '%n %f %u:%g %s %h %Y %t,%T'
sha256sum data/file data/sparse data/tool; readlink data/link'''


def furnished(nb, *options, name='box', script=''):
    """A box that has stopped, with files of its own; what it listed before."""
    return nb.ok('run', '--name', name, *options, 'busybox', 'sh', '-c', FURNISH + script + LIST).out


def image_of(nb, name):
    image, = nb.json('image', 'inspect', name)
    return image


def members(data):
    """The members of an image's only layer, by their paths."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        def blob(digest):
            return archive.extractfile('blobs/' + digest.replace(':', '/')).read()
        index = json.load(archive.extractfile('index.json'))
        manifest = json.loads(blob(index['manifests'][0]['digest']))
        layer, = manifest['layers']
        assert layout.digest_of(blob(layer['digest'])) == layer['digest']
        with tarfile.open(fileobj=io.BytesIO(blob(layer['digest']))) as tar:
            return {os.path.normpath('/' + member.name): member for member in tar}


def names(nb):
    return sorted(image['name'] for image in nb.json('images', '--format', 'json'))


def test_a_committed_box_has_all_its_files(nb):
    listed = furnished(nb)
    id = nb.ok('commit', 'box', 'mine:1').text
    assert image_of(nb, 'mine:1')['id'] == id
    assert nb.ok('run', '--rm', 'mine:1', 'sh', '-c', LIST).out == listed
    assert nb.ok('run', '--rm', 'mine:1', '/data/tool').text == 'ran'


def test_the_box_stays_as_it_was(nb):
    furnished(nb)
    before, logs = nb.inspect('box'), nb.ok('logs', '-t', 'box').out
    nb.ok('commit', 'box', 'one')
    assert (nb.inspect('box'), nb.ok('logs', '-t', 'box').out) == (before, logs)
    assert nb.ok('commit', 'box', 'two').text == image_of(nb, 'one')['id'], 'equal disks give equal images'
    assert nb.run('start', '-a', 'box').code == 1, 'its files are still there: the link cannot be made again'


def test_the_image_wants_to_be_run_as_the_box_was(nb):
    nb.ok('run', '--name', 'box', '-e', 'A=1', '-w', '/srv/x', '-u', 'nobody', '--label', 'k=v', '--stop-signal', 'USR1', '--hostname', 'h',
          'busybox', 'sh', '-c', 'echo $A; pwd; id -un; echo ${TERM-none}')
    nb.ok('commit', 'box', 'mine')
    image = image_of(nb, 'mine')
    assert image['command'] == ['sh', '-c', 'echo $A; pwd; id -un; echo ${TERM-none}'] and image['entrypoint'] == []
    assert {'A=1'} < set(image['environment']) and not [v for v in image['environment'] if v.startswith(('HOSTNAME=', 'TERM='))]
    assert (image['working_directory'], image['user'], image['labels'], image['stop_signal']) == ('/srv/x', 'nobody', {'k': 'v'}, 'SIGUSR1')
    assert nb.ok('run', '--rm', 'mine').lines == ['1', '/srv/x', 'nobody', 'none']


def test_the_image_s_own_wishes_are_kept(nb, oci, module_busybox):
    oci.image('1', [module_busybox], Entrypoint=['/bin/echo', 'hello'], Cmd=['world'], Env=['PATH=/bin', 'A=image'], Labels={'a': '1', 'b': '1'},
              ExposedPorts={'80/tcp': {}}, Volumes={'/v': {}}, Healthcheck={'Test': ['NONE']}, StopSignal='SIGINT')
    nb.ok('create', '--name', 'box', '--label', 'b=2', '-e', 'B=box', f'oci:{oci.path}', 'you')
    nb.ok('commit', 'box', 'mine')
    image = image_of(nb, 'mine')
    assert (image['entrypoint'], image['command']) == (['/bin/echo', 'hello'], ['you'])
    assert image['environment'] == ['PATH=/bin', 'A=image', 'B=box'] and image['labels'] == {'a': '1', 'b': '2'}
    assert (image['exposed_ports'], image['volumes'], image['stop_signal']) == (['80/tcp'], ['/v'], 'SIGINT')
    assert image['health_check']['test'] == ['NONE']
    assert nb.ok('run', '--rm', 'mine').text == 'hello you'


@pytest.fixture(scope='module')
def module_busybox(module_homes):
    return layout.busybox_tar(layout.busybox_of(module_homes.make('parts'))).bytes()


def test_labels_of_an_image_are_its_boxes_too(nb, oci, module_busybox):
    oci.image('1', [module_busybox], Cmd=['true'], Labels={'a': '1', 'b': '1'})
    nb.ok('create', '--name', 'box', '--label', 'b=2', f'oci:{oci.path}')
    assert nb.inspect('box')['labels'] == {'a': '1', 'b': '2'}
    assert nb.ok('ps', '-a', '-q', '--filter', 'label=a=1').text == nb.inspect('box')['id']


def test_changes_are_applied(nb):
    nb.ok('run', '--name', 'box', 'busybox', 'true')
    nb.ok('commit', '-c', 'ENTRYPOINT ["echo", "e"]', '--change', 'CMD ["c", "d"]', '-c', 'ENV X=1 Y="a b"', '-c', 'LABEL l=m', '-c', 'EXPOSE 80',
          '-c', 'VOLUME /v', '-c', 'USER 7:8', '-c', 'WORKDIR /w', '-c', 'STOPSIGNAL SIGQUIT', 'box', 'mine')
    image = image_of(nb, 'mine')
    assert (image['entrypoint'], image['command'], image['labels']) == (['echo', 'e'], ['c', 'd'], {'l': 'm'})
    assert {'X=1', 'Y=a b'} < set(image['environment'])
    assert (image['exposed_ports'], image['volumes']) == (['80/tcp'], ['/v'])
    assert (image['user'], image['working_directory'], image['stop_signal']) == ('7:8', '/w', 'SIGQUIT')
    assert nb.ok('run', '--rm', 'mine').text == 'e c d'
    with tarfile.open(nb.home.parent / 'root.tar', 'w') as tar:
        tar.addfile(tarfile.TarInfo('file'))
    nb.ok('import', '-c', 'ENTRYPOINT ["/e"]', '-c', 'ENV X=2', str(nb.home.parent / 'root.tar'), 'other')
    assert image_of(nb, 'other')['entrypoint'] == ['/e'] and 'X=2' in image_of(nb, 'other')['environment']


@pytest.mark.parametrize('args,code,word', [
    (['-c', 'RUN make', 'box', 'x'], 1, 'RUN make'), (['-c', 'ENV', 'box', 'x'], 1, 'argument'), (['box', 'UPPER'], 1, 'UPPER'),
    (['box', 'x@sha256:' + 'a' * 64], 1, 'digest'), (['nosuch', 'x'], 1, 'nosuch'), ([], 2, 'commit'), (['-m', 'x', 'box'], 2, 'message')])
def test_what_cannot_be_committed_leaves_no_image(nb, args, code, word):
    nb.ok('run', '--name', 'box', 'busybox', 'true')
    before = nb.files()
    result = nb.run('commit', *args)
    assert (result.code, result.out) == (code, b'') and word in result.err, result
    assert names(nb) == ['busybox'] and set(nb.files()) - set(before) <= {'images/lock'}


def test_a_running_box_is_not_committed_and_goes_on(nb):
    box = nb.running_box()
    result = nb.run('commit', box.name, 'x')
    assert result.code == 1 and 'runs' in result.err and 'hint: stop it first' in result.err, result
    assert box.sh('echo alive').text == 'alive' and names(nb) == ['busybox']


def test_without_a_name_the_id_names_it(nb):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'echo hi >/x')
    id = nb.ok('commit', 'box').text
    assert nb.ok('run', '--rm', id, 'cat', '/x').text == 'hi'
    assert nb.ok('run', '--rm', id[:19], 'cat', '/x').text == 'hi'


def test_the_image_outlives_its_box_and_the_image_before(nb):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'echo hi >/x')
    nb.ok('commit', 'box', 'mine')
    nb.ok('rm', 'box')
    nb.ok('rmi', 'busybox')
    nb.ok('run', '--name', 'again', 'mine', 'sh', '-c', 'cat /x; echo ho >>/x')
    nb.ok('commit', 'again', 'mine')
    assert nb.ok('run', '--rm', 'mine', 'cat', '/x').lines == ['hi', 'ho']


def test_a_limit_is_named_and_nothing_stays(nb, files, homes):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null')
    before = nb.files()
    (files / 'images.json').write_text('{"max_bytes": "4m"}')
    nb.env['NESTBOX_IMAGES'] = str(files / 'images.json')
    result = nb.run('commit', 'box', 'x')
    assert result.code == 1 and 'max_bytes in images.json' in result.err, result
    assert names(nb) == ['busybox'] and nb.files() == before
    wait_until('nothing runs', lambda: homes.new_processes() == [])


def test_a_commit_that_is_killed_leaves_nothing(nb, homes):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null')
    before = nb.files()
    client = nb.popen('commit', 'box', 'x')
    wait_until('the worker works', lambda: any('/.new-' in '/' + path for path in (p.name for p in (nb.home / 'images').iterdir())) or client.poll() is not None)
    client.send_signal(signal.SIGKILL)
    nb.finish(client)
    wait_until('nothing runs', lambda: homes.new_processes() == [])
    assert names(nb) == ['busybox'] and nb.state('box') == 'stopped'
    assert [path for path in nb.files() if path not in before] == []
    nb.ok('commit', 'box', 'x')


def test_two_commits_of_one_box_at_once(nb):
    furnished(nb)
    clients = [nb.popen('commit', 'box', f'x{i}') for i in range(2)]
    ids = {nb.finish(client, timeout=120).text for client in clients}
    assert len(ids) == 1 and names(nb) == ['busybox', 'x0:latest', 'x1:latest']


# ------------------------------------------------------------------------------------------- writing out what has no layers

def test_a_committed_image_is_the_same_one_after_save_and_load(nb, homes, files):
    listed = furnished(nb)
    id = nb.ok('commit', '-c', 'LABEL who="me too"', 'box', 'team/mine:1').text
    nb.ok('save', '-o', str(files / 'mine.tar'), 'team/mine:1')
    assert nb.ok('save', id).out == (files / 'mine.tar').read_bytes(), 'equal images give equal archives'
    assert [box['name'] for box in nb.boxes()] == ['box']
    other = homes.make('other')
    assert other.ok('load', '-i', str(files / 'mine.tar')).text == 'Loaded image: team/mine:1'
    assert image_of(other, 'team/mine:1')['id'] == id and image_of(other, id)['labels'] == {'who': 'me too'}
    assert other.ok('run', '--rm', 'team/mine:1', 'sh', '-c', LIST).out == listed


def test_what_is_mounted_in_a_box_is_no_part_of_it(nb):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'echo 1 >/dev/shm/x; echo mine >/tmp/y')
    nb.ok('commit', 'box', 'mine')
    found = members(nb.ok('save', 'mine').out)
    assert found['/tmp/y'].size == 5
    for path in ('/etc/hosts', '/etc/hostname', '/etc/resolv.conf'):
        assert found[path].size == 0, path
    assert [path for path in found if path.startswith(('/dev/', '/proc/', '/sys/'))] == [] and {'/dev', '/proc', '/sys'} < set(found)


def test_any_image_can_be_written_out_and_taken_in(nb, homes, files, oci, module_busybox):
    oci.image('1', [module_busybox, Tar().folder('d').file('d/f', 'content', uid=70000, mtime=5).bytes()], Entrypoint=['cat'], Cmd=['/d/f'],
              Env=['PATH=/bin', 'X=1'], ExposedPorts={'53/udp': {}})
    (files / 'root.tar').write_bytes(layout.busybox_tar(layout.busybox_of(nb)).file('d', 'content').bytes())
    docker = layout.docker_archive(files / 'docker.tar', 'web:1', [module_busybox, Tar().file('d', 'content').bytes()], Cmd=['cat', '/d'])
    other = homes.make('other')
    for source, command in ((f'oci:{oci.path}', ()), (f'rootfs:{files}/root.tar', ('cat', '/d')), (f'docker-archive:{docker}', ()), ('busybox', ('echo', 'content'))):
        nb.ok('create', '--name', 'probe', source, *(command or ('/d/f',) if source.startswith('oci') else command))
        nb.ok('rm', 'probe')
        archive = nb.ok('save', source).out
        loaded = other.ok('load', input=archive).text.removeprefix('Loaded image: ')
        assert other.ok('run', '--rm', loaded, *command).text == 'content', source
        before, after = image_of(nb, source), image_of(other, loaded)
        for key in ('entrypoint', 'command', 'environment', 'exposed_ports', 'architecture', 'labels'):
            assert before[key] == after[key], (source, key)
    assert nb.boxes() == []


@pytest.mark.tools('skopeo', 'umoci')
def test_skopeo_and_umoci_take_a_committed_image(nb, files):
    furnished(nb)
    nb.ok('commit', 'box', 'mine:1')
    nb.ok('save', '-o', str(files / 'mine.tar'), 'mine:1')
    subprocess.run(['skopeo', 'copy', '--quiet', '--insecure-policy', f'oci-archive:{files}/mine.tar', f'oci:{files}/mine:1'], check=True)
    subprocess.run(['umoci', 'unpack', '--rootless', '--image', f'{files}/mine:1', f'{files}/bundle'], check=True, stderr=subprocess.DEVNULL)
    assert (files / 'bundle/rootfs/data/file').read_bytes() == b'one\0two'
    assert (files / 'bundle/rootfs/data/sub/again').stat().st_ino == (files / 'bundle/rootfs/data/file').stat().st_ino


@pytest.mark.tools('podman')
@pytest.mark.skipif(os.geteuid() != 0, reason='podman is asked as root')
def test_podman_runs_a_committed_image(nb, files):
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'echo from the box >/x')
    id = nb.ok('commit', '-c', 'CMD ["cat", "/x"]', 'box', 'localhost/mine:1').text
    nb.ok('save', '-o', str(files / 'mine.tar'), 'localhost/mine:1')
    podman = ['podman', '--root', f'{files}/root', '--runroot', f'{files}/run', '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']
    subprocess.run([*podman, 'load', '-q', '-i', f'{files}/mine.tar'], check=True, stdout=subprocess.DEVNULL)
    found = subprocess.run([*podman, 'images', '--no-trunc', '--format', '{{.ID}}'], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert found.strip() == id


def test_a_save_that_cannot_be_finished_leaves_no_box(nb, homes):
    furnished(nb)
    nb.ok('commit', 'box', 'mine')
    with open('/dev/full', 'wb') as full:
        result = nb.finish(nb.popen('save', 'mine', stdout=full))
    assert result.code == 1 and 'No space left' in result.err, result
    client = nb.popen('save', 'mine')
    wait_until('its machine is there', lambda: 'running' in [box['state'] for box in nb.boxes()])
    client.kill()
    nb.finish(client)
    wait_until('nothing runs', lambda: homes.new_processes() == [])
    wait_until('its box has gone', lambda: [box['name'] for box in nb.boxes()] == ['box'])


def test_a_box_for_saving_that_was_never_started_goes_with_time(nb):
    """What is left when a save is killed between the box's making and its start."""
    for name, label in (('passing', 'nestbox.passing=save'), ('kept', 'x=y')):
        nb.ok('create', '--rm', '--name', name, '--label', label, 'busybox', 'true')
    assert sorted(box['name'] for box in nb.boxes()) == ['kept', 'passing']
    with contextlib.closing(sqlite3.connect(nb.home / 'nestbox.db')) as database, database:
        database.execute('UPDATE boxes SET created_at_ms = created_at_ms - 3600000')
    assert [box['name'] for box in nb.boxes()] == ['kept']

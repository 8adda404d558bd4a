# SPDX-License-Identifier: Apache-2.0
"""The core of it as an ordinary user without any rights: no root, no group, no capability."""
import layout


def test_run(homes, anyone):
    result = anyone.run('run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; id -u; exit 3')
    assert (result.code, result.out, result.err) == (3, b'out\n0\n', 'err\n')
    assert homes.new_processes() == [] and anyone.boxes() == []


def test_exec_and_stop(homes, anyone):
    box = anyone.running_box('--stop-timeout', '1')
    assert box.exec('cat', options=['-i'], input=b'abc').out == b'abc'
    assert box.sh('touch /root/file && chown 1000:1000 /root/file && stat -c %u /root/file').text == '1000'
    assert box.exec('nope').code == 127
    anyone.ok('stop', 'box')
    assert homes.new_processes() == [] and anyone.state('box') == 'stopped'
    anyone.ok('start', 'box')
    assert box.exec('stat', '-c', '%u', '/root/file').text == '1000'


def test_import_keeps_owners_that_the_user_could_not_give(anyone):
    tar = layout.busybox_tar(layout.busybox_of(anyone)).file('owned', 'x', uid=12, gid=34, mode=0o4000).bytes()
    anyone.ok('import', '--cmd', 'stat -c "%u %g %a" /owned', '-', 'mine', input=tar)
    assert anyone.ok('run', '--rm', 'mine').text == '12 34 4000'
    assert [image['name'] for image in anyone.json('images', '--format', 'json')] == ['mine']
    anyone.ok('rmi', 'mine')


def test_nothing_of_a_home_can_be_read_by_others(anyone):
    anyone.ok('create', 'busybox', 'true')
    assert anyone.home.stat().st_mode & 0o777 == 0o700
    open_files = [path for path in anyone.home.rglob('*') if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert open_files == []

# SPDX-License-Identifier: Apache-2.0
"""Folders and files of the host in a box, named volumes, tmpfs: --volume, --tmpfs, nestbox volume."""
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess

import pytest

import processes
from nestbox import PROGRAM, rounds, wait_until

PROBE = PROGRAM.parent / 'tests' / 'volume' / 'volume-probe'


def shared_folder(homes, anyone, name='shared'):
    """A folder on the host that belongs to whoever starts the boxes, under which the others may look."""
    folder = homes.folder / name
    folder.mkdir()
    if anyone.prefix and os.geteuid() == 0:
        os.chown(folder, 61000, 61000)
    return folder


def own(anyone, path):
    """Gives a file that the test has made to whoever starts the boxes."""
    if anyone.prefix and os.geteuid() == 0:
        os.chown(path, 61000, 61000)


def snapshot(folder):
    """All that can be changed of a tree but for times of access."""
    found = {}
    for path in [folder, *sorted(folder.rglob('*'))]:
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (content, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)
    return found


# ------------------------------------------------------------------------------------------------------ both sides see


def test_s49_both_sides_see_what_the_other_writes(homes, anyone):
    folder = shared_folder(homes, anyone)
    (folder / 'from host').write_text('one\n')
    box = anyone.running_box('-v', f'{folder}:/mnt/shared')
    assert box.exec('cat', '/mnt/shared/from host').out == b'one\n'
    box.sh('echo two >/mnt/shared/from-box; mkdir /mnt/shared/sub; echo three >/mnt/shared/sub/deep')
    assert (folder / 'from-box').read_text() == 'two\n' and (folder / 'sub' / 'deep').read_text() == 'three\n'
    # What was looked at is believed for a second at most.
    (folder / 'from host').write_text('changed, and longer\n')
    (folder / 'new').write_text('new\n')
    (folder / 'from-box').unlink()
    wait_until('the box sees the change', lambda: box.exec('cat', '/mnt/shared/from host').out == b'changed, and longer\n')
    assert box.exec('cat', '/mnt/shared/new').out == b'new\n'
    wait_until('the box sees that it is gone', lambda: box.exec('ls', '/mnt/shared/from-box').code != 0)
    anyone.ok('rm', '-f', 'box')
    assert (folder / 'sub' / 'deep').read_text() == 'three\n'


def test_s49_files_behave_as_files(homes, anyone):
    folder = shared_folder(homes, anyone)
    here = subprocess.run([*([] if not anyone.prefix else [anyone.prefix[0], anyone.prefix[1]]), PROBE, shared_folder(homes, anyone, 'host')],
                          stdout=subprocess.PIPE, text=True, check=False)
    assert here.returncode == 0, here.stdout  # the probe itself, on the same file system
    shutil.copy(PROBE, folder / 'probe')
    own(anyone, folder / 'probe')
    box = anyone.running_box('-v', f'{folder}:/mnt')
    result = box.sh('mkdir /mnt/box && /mnt/probe /mnt/box')
    assert result.code == 0 and result.text == here.stdout.rstrip('\n'), result
    assert os.listdir(folder / 'box') == []


def test_s49_a_link_in_a_volume_is_the_guests(homes, anyone):
    folder = shared_folder(homes, anyone)
    secret = homes.folder / 'secret'
    secret.write_text('of the host\n')
    (folder / 'passwd').symlink_to('/etc/passwd')
    (folder / 'up').symlink_to('../secret')
    (folder / 'absolute').symlink_to(secret)
    box = anyone.running_box('-v', f'{folder}:/mnt/v')
    assert box.exec('cat', '/mnt/v/passwd').out == box.exec('cat', '/etc/passwd').out
    for path in ('up', 'absolute', '../secret', '../../secret', 'up/../../secret'):
        assert box.exec('cat', f'/mnt/v/{path}').code != 0, path
    # What the box makes is a link, and the host's file is not touched by writing through it.
    assert box.sh(f'ln -s {secret} /mnt/v/mine; echo overwritten >/mnt/v/mine; ls -l /mnt/v/mine').code == 0
    assert os.readlink(folder / 'mine') == str(secret) and secret.read_text() == 'of the host\n'


def test_s49_a_folder_that_is_moved_on_the_host_leads_nowhere_else(homes, anyone):
    """The box stands in a folder while the host puts another, or a link, in its place."""
    folder = shared_folder(homes, anyone)
    outside = homes.folder / 'outside'
    outside.mkdir()
    (outside / 'file').write_text('outside\n')
    box = anyone.running_box('-v', f'{folder}:/mnt')
    assert box.sh('mkdir /mnt/a && echo inside >/mnt/a/file').code == 0
    with box.popen('sh', '-c', 'cd /mnt/a && echo ready && read x && cat file; cat /mnt/a/file; echo more >/mnt/a/file; echo $?', options=['-i'],
                   stdin=subprocess.PIPE) as inside:
        assert inside.stdout.readline() == b'ready\n'
        (folder / 'a').rename(folder / 'b')
        (folder / 'a').symlink_to(outside)
        out, _ = inside.communicate(b'go\n', timeout=60)
    assert b'outside' not in out and (outside / 'file').read_text() == 'outside\n'


def test_s49_twenty_volumes_at_once_nested_and_side_by_side(homes, anyone):
    count = 20
    folder = shared_folder(homes, anyone)
    options = []
    for i in range(count):
        (folder / str(i)).mkdir()
        (folder / str(i) / 'name').write_text(f'{i}\n')
        own(anyone, folder / str(i))
    for i in reversed(range(count)):  # the deepest are named first
        target = f'/a/{i}' if i % 2 else '/a' + ''.join(f'/n{j}' for j in range(i // 2))
        options += ['-v', f'{folder / str(i)}:{target}:{"ro" if i % 4 == 1 else "rw"}']
    box = anyone.running_box(*options)
    targets = [f'/a/{i}' if i % 2 else '/a' + ''.join(f'/n{j}' for j in range(i // 2)) for i in range(count)]
    result = box.sh('for d; do cat $d/name; echo x >$d/mine && echo wrote; done 2>/dev/null', *targets)
    expected = ''.join(f'{i}\n' + ('' if i % 4 == 1 else 'wrote\n') for i in range(count))
    assert result.out.decode() == expected
    assert [i for i in range(count) if (folder / str(i) / 'mine').exists()] == [i for i in range(count) if i % 4 != 1]
    assert len(box.inspect()['mounts']) == count
    anyone.ok('rm', '-f', 'box')


def test_s49_more_files_than_descriptors(homes, nb):
    """The limit is the shim's and its servers'; the box has seen every file, and its kernel asks again for each by its number."""
    count = rounds(3000, 100000)
    folder = shared_folder(homes, nb)
    for i in range(count // 1000):
        (folder / str(i)).mkdir()
        for j in range(1000):
            (folder / str(i) / str(j)).write_text('')
    prefix = ['prlimit', '--nofile=1024:1024']
    nb.finish(subprocess.Popen([*prefix, *nb.argv(['run', '-d', '--name', 'box', '-v', f'{folder}:/v', 'busybox', 'sleep', '100000'])],
                               env=nb.environment(None), stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    server = [process for process in processes.descendants() if process.name == 'nestbox-files']
    assert len(server) == 1
    for _ in range(2):
        assert nb.ok('exec', 'box', 'sh', '-c', 'find /v -type f | wc -l', timeout=600).text == str(count)
        assert nb.ok('exec', 'box', 'sh', '-c', 'for d in /v/*; do chmod 600 $d/*; done', timeout=600).code == 0
    assert len(os.listdir(f'/proc/{server[0].pid}/fd')) < 1024
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 0
    nb.ok('rm', '-f', 'box')


def test_s49_a_file_that_both_append_to_loses_nothing(homes, anyone):
    folder = shared_folder(homes, anyone)
    file = folder / 'log'
    file.touch()
    own(anyone, file)
    box = anyone.running_box('-v', f'{folder}:/v')
    lines = 200
    writer = box.popen('sh', '-c', f'i=0; while [ $i -lt {lines} ]; do echo box >>/v/log; i=$((i+1)); done')
    for _ in range(lines):
        with open(file, 'a', encoding='utf-8') as out:
            out.write('host\n')
    assert box.finish(writer).code == 0
    assert sorted(file.read_text().splitlines()) == ['box'] * lines + ['host'] * lines


def test_owners_are_the_hosts_for_root_and_roots_for_an_ordinary_user(homes, anyone):
    folder = shared_folder(homes, anyone)
    (folder / 'other').touch()
    if os.geteuid() == 0:
        os.chown(folder / 'other', 4242, 4243)
    (folder / 'mine').touch()
    own(anyone, folder / 'mine')
    box = anyone.running_box('-v', f'{folder}:/v')
    if anyone.prefix:
        assert box.exec('stat', '-c', '%u:%g', '/v/mine').text == '0:0'
        if os.geteuid() == 0:
            assert box.exec('stat', '-c', '%u:%g', '/v/other').text == '65534:65534'
        assert box.sh('touch /v/new; chown 1000 /v/new').code != 0  # he could not either
        assert (folder / 'new').stat().st_uid == folder.stat().st_uid
    else:
        assert box.exec('stat', '-c', '%u:%g', '/v/other').text == '4242:4243'
        assert box.sh('touch /v/new; chown 1000:1001 /v/new').code == 0
        assert ((folder / 'new').stat().st_uid, (folder / 'new').stat().st_gid) == (1000, 1001)
    assert box.sh('chmod 6755 /v/new').code in (0, 1)
    assert (folder / 'new').stat().st_mode & (stat.S_ISUID | stat.S_ISGID) == 0


# ----------------------------------------------------------------------------------------------------------- read-only


CHANGES = '''
echo x >/v/file; echo x >>/v/file; true >/v/file; rm /v/file; mv /v/file /v/sub/file; mv /v/sub /v/bus; ln /v/file /v/hard; ln -s x /v/soft
touch /v/file; touch -d 2001-01-01 /v/file; chmod 777 /v/file; chown 1 /v/file; chmod 777 /v; mkdir /v/new; rmdir /v/sub; touch /v/new
dd if=/dev/zero of=/v/file bs=1 count=1 conv=notrunc; truncate -s 0 /v/file; mknod /v/node p; cp /v/file /v/copy; rm -rf /v/sub; rm -rf /v/*
'''


def test_s48_a_read_only_volume_is_read_only_on_the_host(homes, anyone):
    folder = shared_folder(homes, anyone)
    (folder / 'file').write_text('precious\n')
    (folder / 'sub').mkdir()
    (folder / 'sub' / 'inner').write_text('too\n')
    for path in (folder / 'file', folder / 'sub', folder / 'sub' / 'inner'):
        own(anyone, path)
    before = snapshot(folder)
    box = anyone.running_box('-v', f'{folder}:/v:ro', '--cap-add', 'ALL')
    assert box.exec('cat', '/v/file').out == b'precious\n'
    assert box.sh(CHANGES).err.count('Read-only file system') >= 15
    # The guest's own mark on the mount is not what protects: its root takes it off.
    assert box.sh('mount -o remount,rw,bind /v; mount -o remount,rw /v').code == 0
    assert 'rw' in box.sh('grep " /v " /proc/mounts').text.split()[3].split(',')
    assert box.sh(CHANGES).err.count('Read-only file system') >= 15
    assert snapshot(folder) == before


def test_s48_a_file_can_be_mounted_alone(homes, anyone):
    folder = shared_folder(homes, anyone)
    (folder / 'config').write_text('a = 1\n')
    (folder / 'other').write_text('not mounted\n')
    own(anyone, folder / 'config')
    box = anyone.running_box('-v', f'{folder}/config:/etc/config:ro', '-v', f'{folder}/config:/srv/new/place')
    assert box.exec('cat', '/etc/config').out == b'a = 1\n'
    assert box.sh('echo "a = 2" >/etc/config').code != 0
    assert box.sh('echo "a = 2" >/srv/new/place; cat /srv/new/place').out == b'a = 2\n'
    assert (folder / 'config').read_text() == 'a = 2\n'
    assert box.sh('ls /srv/new; cat /srv/new/place/../other; cat /etc/config/../other').out == b'place\n'


# -------------------------------------------------------------------------------------------------------------- errors


ERRORS = [
    ('{0}/missing:/x', "mount '{0}/missing' at '/x': the host has no such file or folder\nhint: make it first: mkdir -p '{0}/missing'"),
    ('{0}/file/below:/x', "mount '{0}/file/below' at '/x': the host has no such file or folder\nhint: make it first: mkdir -p '{0}/file/below'"),
    ('{0}/fifo:/x', "mount '{0}/fifo' at '/x': the host's path is neither a folder nor a regular file"),
    ('{0}:/', "mount at '/': the box's root cannot be mounted over"),
    ('{0}:x', "mount at 'x': the path in the box must be absolute"),
    ('{0}:/proc/x', "mount at '/proc/x': /proc, /sys and /dev are the box's own, but for /dev/shm"),
    ('{0}', "--volume '{0}': want SRC:DST[:ro], a folder or file of the host or a volume's name, and an absolute path in the box"),
    ('{0}:/x:wo', "--volume '{0}:/x:wo': 'wo' is neither ro nor rw"),
    ('a/b:/x', "mount the volume 'a/b' at '/x': a volume's name has 1 to 128 letters, digits, '_', '.', '-' and begins with a letter or digit\n"
               'hint: for a folder of the host give its absolute path, or one that begins with ./'),
]


def test_s50_what_cannot_be_mounted_is_told_before_anything_is_made(homes, nb, files):
    (files / 'file').touch()
    os.mkfifo(files / 'fifo')
    for volume, message in ERRORS:
        result = nb.run('create', '-v', volume.format(files), 'busybox')
        assert (result.code, result.err) == (1, f'nestbox: create: {message.format(files)}\n'), result
    result = nb.run('create', '-v', f'{files}:/x', '-v', 'data:/y/../x/', 'busybox')
    assert (result.code, result.err) == (1, "nestbox: create: mount at '/x': two mounts have that path\n"), result
    assert nb.boxes() == [] and nb.json('volume', 'ls', '--format', 'json') == []


def test_s50_a_folder_that_went_away_fails_the_start_and_says_which(nb, files):
    (files / 'gone').mkdir()
    nb.ok('create', '--name', 'box', '-v', f'{files}/gone:/x', 'busybox', 'true')
    (files / 'gone').rmdir()
    result = nb.run('start', '-a', 'box')
    assert result.code == 125 and f"'{files}/gone'" in result.err and 'No such file or directory' in result.err, result
    assert nb.inspect('box')['state'] == 'failed'
    (files / 'gone').mkdir()
    nb.ok('start', '-a', 'box')


def test_s50_a_relative_path_is_the_working_directorys(nb, files):
    (files / 'sub').mkdir()
    (files / 'sub' / 'file').write_text('x')
    for source in ('./sub', 'sub/../sub', '../files/sub', '.'):
        if source == 'sub/../sub':
            continue  # a name with a slash is neither a volume nor begins with a dot
        result = nb.ok('run', '--rm', '-v', f'{source}:/x', 'busybox', 'ls', '/x', cwd=files)
        assert result.text == ('sub' if source == '.' else 'file'), source


def test_s50_a_file_on_a_folder_and_a_folder_on_a_file_are_refused(nb, files):
    (files / 'file').touch()
    (files / 'folder').mkdir()
    on_folder = nb.run('run', '--rm', '-v', f'{files}/file:/etc', 'busybox', 'true')
    on_file = nb.run('run', '--rm', '-v', f'{files}/folder:/etc/passwd', 'busybox', 'true')
    assert on_folder.code == 125 and "'/etc'" in on_folder.err and 'Is a directory' in on_folder.err, on_folder
    assert on_file.code == 125 and "'/etc/passwd'" in on_file.err and 'Not a directory' in on_file.err, on_file
    assert nb.boxes() == []


def test_a_folder_that_its_user_may_not_enter(homes, as_user):
    folder = homes.folder / 'closed'
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip('only root can make a folder that the user may not enter')
    result = as_user.run('run', '--rm', '-v', f'{folder}:/x', 'busybox', 'ls', '/x')
    assert result.code in (1, 125) and 'ermission denied' in result.err, result


# ----------------------------------------------------------------------------------------------- image's links, crashes


def test_an_image_whose_target_is_a_link_leads_nowhere_outside(nb, files):
    (files / 'v').mkdir()
    (files / 'v' / 'file').write_text('v')
    nb.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'mkdir /real; ln -s /real /link; ln -s /proc/1/root/tmp /magic; ln -s /../../../../real /up')
    nb.ok('commit', 'box', 'linked')
    for target in ('/link/inner', '/up/inner', '/up'):
        assert nb.ok('run', '--rm', '-v', f'{files}/v:{target}', 'linked', 'cat', f'{target}/file').text == 'v'
    assert nb.ok('run', '--rm', '-v', f'{files}/v:/link/inner', 'linked', 'cat', '/real/inner/file').text == 'v'
    refused = nb.run('run', '--rm', '-v', f'{files}/v:/magic', 'linked', 'true')
    assert refused.code == 125 and "mount on '/magic' in the box" in refused.err, refused


def test_a_file_server_that_dies_leaves_the_box_and_gives_its_users_an_error(homes, nb, files):
    (files / 'file').write_text('x')
    box = nb.running_box('-v', f'{files}:/v', '-v', 'data:/data')
    box.sh('echo y >/data/file')
    servers = [process for process in processes.descendants() if process.name == 'nestbox-files']
    assert len(servers) == 2
    victim = next(process for process in servers if str(files).encode() in pathlib.Path(f'/proc/{process.pid}/cmdline').read_bytes())
    os.kill(victim.pid, signal.SIGKILL)
    wait_until('the volume is gone', lambda: box.exec('cat', '/v/file').code != 0)
    assert 'not connected' in box.exec('cat', '/v/other').err
    assert box.exec('cat', '/data/file').out == b'y\n' and box.state() == 'running'
    nb.ok('stop', 'box')
    nb.ok('start', 'box')
    assert box.exec('cat', '/v/file').out == b'x'


def test_a_box_with_volumes_that_is_killed_leaves_no_server(homes, nb, files):
    box = nb.running_box('-v', f'{files}:/v')
    shim = box.inspect()['shim_pid']
    os.kill(shim, signal.SIGKILL)
    wait_until('all are gone', lambda: homes.new_processes() == [])
    assert nb.inspect('box')['state'] == 'stopped'


def test_a_stop_writes_what_was_written(nb, files):
    box = nb.running_box('-v', f'{files}:/v')
    box.sh('dd if=/dev/zero of=/v/big bs=1M count=20 2>/dev/null; echo end >>/v/big')
    nb.ok('stop', 'box')
    assert (files / 'big').stat().st_size == 20 * 1024 * 1024 + 4


# ------------------------------------------------------------------------------------------------------- named volumes


def test_a_named_volume_outlives_its_boxes(anyone):
    anyone.ok('run', '--rm', '-v', 'data:/d', 'busybox', 'sh', '-c', 'echo kept >/d/file')
    assert anyone.ok('run', '--rm', '-v', 'data:/other:ro', 'busybox', 'cat', '/other/file').text == 'kept'
    assert anyone.ok('volume', 'ls', '-q').text == 'data'
    volume = anyone.json('volume', 'inspect', 'data')[0]
    assert pathlib.Path(volume['path'], 'file').read_text() == 'kept\n' and volume['boxes'] == 0
    anyone.ok('volume', 'rm', 'data')
    assert not pathlib.Path(volume['path']).exists() and anyone.json('volume', 'ls', '--format', 'json') == []


def test_a_volume_in_use_is_not_removed(nb):
    assert nb.ok('volume', 'create', 'data').text == 'data'
    assert nb.ok('volume', 'create', 'data').text == 'data'
    nb.ok('create', '--name', 'box', '-v', 'data:/d', '-v', 'data:/e:ro', 'busybox')
    result = nb.run('volume', 'rm', 'data')
    assert result.code == 1 and "the volume 'data' is used by 1 box" in result.err, result
    assert [box['name'] for box in nb.json('ps', '-a', '--filter', 'volume=data', '--format', 'json')] == ['box']
    assert nb.json('ps', '-a', '--filter', 'volume=other', '--format', 'json') == []
    nb.ok('rm', '-v', 'box')
    nb.ok('volume', 'rm', 'data')
    missing = nb.run('volume', 'rm', 'data')
    assert missing.code == 1 and "no volume is called 'data'" in missing.err
    nb.ok('volume', 'rm', '-f', 'data')
    assert nb.run('volume', 'inspect', 'data').code == 1
    bad = nb.run('volume', 'create', 'a/b')
    assert bad.code == 1 and "name a volume 'a/b'" in bad.err


def test_a_volume_is_counted_in_system_df(nb):
    nb.ok('run', '--rm', '-v', 'data:/d', 'busybox', 'dd', 'if=/dev/urandom', 'of=/d/file', 'bs=1M', 'count=3')
    volumes = nb.json('system', 'df', '--format', 'json')['volumes']
    assert (volumes['count'], volumes['active']) == (1, 0)
    assert volumes['size_bytes'] >= 3 << 20 and volumes['reclaimable_bytes'] == volumes['size_bytes']
    assert any(line.startswith('Volumes') for line in nb.ok('system', 'df').lines)


def test_a_volume_folder_that_was_removed_by_hand_is_made_anew(nb):
    path = pathlib.Path(nb.json('volume', 'inspect', nb.ok('volume', 'create', 'data').text)[0]['path'])
    path.rmdir()
    nb.ok('run', '--rm', '-v', 'data:/d', 'busybox', 'touch', '/d/file')
    assert (path / 'file').exists()


def test_many_programs_make_and_remove_one_volume(nb):
    """Whoever mounts it has it, whoever removes it has it gone, and nobody has half of it."""
    for _ in range(rounds(5, 50)):
        makers = [nb.popen('create', '-v', 'data:/d', 'busybox') for _ in range(3)]
        removers = [nb.popen('volume', 'rm', 'data') for _ in range(3)]
        made = [nb.finish(process) for process in makers]
        removed = [nb.finish(process) for process in removers]
        assert all(result.code == 0 for result in made), made
        assert all(result.code == 0 or 'is used by' in result.err or 'no volume is called' in result.err for result in removed), removed
        assert nb.json('volume', 'inspect', 'data')[0]['boxes'] == 3
        nb.ok('rm', '-a')
        nb.ok('volume', 'rm', 'data')
    assert not [path for path in nb.files() if path.startswith('volumes/')]


# --------------------------------------------------------------------------------------------------------------- tmpfs


def test_tmpfs_has_its_options_and_is_empty_at_each_start(anyone):
    anyone.ok('create', '--name', 'box', '--tmpfs', '/scratch:size=4m,mode=700', '--tmpfs', '/plain', '--tmpfs', '/x:exec,ro', 'busybox', 'sh', '-c',
              'ls -A /scratch; grep -E " /(scratch|plain|x) " /proc/mounts; stat -c %a /scratch /plain; dd if=/dev/zero of=/scratch/f bs=1M count=8 2>&1')
    for _ in range(2):
        result = anyone.run('start', '-a', 'box')
        mounts = {line.split()[1]: line.split()[3].split(',') for line in result.lines if ' tmpfs ' in line}
        assert {'nosuid', 'nodev', 'noexec', 'rw', 'size=4096k', 'mode=700'} <= set(mounts['/scratch']), result
        assert {'nosuid', 'nodev', 'noexec', 'rw'} <= set(mounts['/plain'])
        assert 'ro' in mounts['/x'] and 'noexec' not in mounts['/x']
        assert '700' in result.lines and '1777' in result.lines and 'No space left' in result.out.decode()
        assert result.lines[0].startswith(('none', 'tmpfs')), result


def test_tmpfs_refuses_what_it_does_not_know(nb):
    for options in ('foo', 'size=0', 'size=1x', 'mode=9', 'uid=-1', 'ro=1'):
        result = nb.run('create', '--tmpfs', f'/x:{options}', 'busybox')
        assert result.code == 1 and f"'{options}' is no option of it" in result.err, result
    assert nb.boxes() == []


# ------------------------------------------------------------------------------------------------------- cp and commit


def test_cp_goes_through_mounts_of_a_box_that_runs_or_not(nb, files):
    (files / 'v').mkdir()
    (files / 'v' / 'file').write_text('of the volume')
    (files / 'in').write_text('into it')
    box = nb.running_box('-v', f'{files}/v:/v')
    for _ in range(2):
        nb.ok('cp', 'box:/v/file', files / 'out')
        assert (files / 'out').read_text() == 'of the volume'
        nb.ok('cp', files / 'in', 'box:/v/new')
        assert (files / 'v' / 'new').read_text() == 'into it'
        (files / 'v' / 'new').unlink()
        nb.ok('stop', box.name)


def test_commit_leaves_mounts_out_and_needs_none_of_them(nb, files):
    (files / 'v').mkdir()
    (files / 'v' / 'secret').write_text('s')
    nb.ok('run', '--name', 'box', '-v', f'{files}/v:/v', '--tmpfs', '/t', 'busybox', 'touch', '/t/x', '/kept')
    (files / 'v' / 'secret').unlink()
    (files / 'v').rmdir()
    nb.ok('commit', 'box', 'made')
    assert nb.ok('run', '--rm', 'made', 'sh', '-c', 'ls /v /t; ls -d /kept').lines[-1] == '/kept'


def test_inspect_tells_the_mounts(nb, files):
    nb.ok('create', '--name', 'box', '-v', f'{files}:/a/./b/:ro', '-v', 'data:/data', '--tmpfs', '/t:size=1m', 'busybox')
    assert nb.inspect('box')['mounts'] == [
        {'type': 'bind', 'source': str(files), 'target': '/a/b', 'read_only': True, 'options': None},
        {'type': 'volume', 'source': 'data', 'target': '/data', 'read_only': False, 'options': None},
        {'type': 'tmpfs', 'source': None, 'target': '/t', 'read_only': False, 'options': 'size=1m'},
    ]


# ------------------------------------------------------------------------------------- added and removed while it runs


def servers():
    return [process for process in processes.descendants() if process.name == 'nestbox-files']


def test_volumes_come_and_go_while_the_box_runs(homes, anyone):
    folder = shared_folder(homes, anyone)
    (folder / 'file').write_text('x\n')
    box = anyone.running_box()
    assert servers() == []
    anyone.ok('update', '--volume-add', f'{folder}:/a/b:ro', '--volume-add', 'data:/data', '--tmpfs-add', '/t:size=1m', 'box')
    assert len(servers()) == 2
    assert box.exec('cat', '/a/b/file').out == b'x\n' and box.sh('echo x >/a/b/file').code != 0
    assert box.sh('echo y >/data/file; touch /t/x').code == 0
    assert [mount['target'] for mount in box.inspect()['mounts']] == ['/a/b', '/data', '/t']
    anyone.ok('update', '--volume-rm', '/a/./b/', '--volume-rm', '/t', 'box')
    assert box.sh('ls -A /a/b /t').text == '/a/b:\n\n/t:'
    wait_until('its server has gone', lambda: len(servers()) == 1)
    anyone.ok('stop', 'box')
    anyone.ok('start', 'box')  # what was changed stays changed
    assert box.exec('cat', '/data/file').out == b'y\n' and len(servers()) == 1
    anyone.ok('stop', 'box')
    anyone.ok('update', '--volume-rm', '/data', 'box')  # of one that does not run as well
    anyone.ok('volume', 'rm', 'data')
    assert box.inspect()['mounts'] == []


def test_what_is_in_use_is_not_unmounted(nb, files):
    (files / 'a').mkdir()
    box = nb.running_box('-v', f'{files}/a:/a')
    with box.popen('sh', '-c', 'cd /a && echo ready && cat', options=['-i'], stdin=subprocess.PIPE) as user:
        assert user.stdout.readline() == b'ready\n'
        result = nb.run('update', '--volume-rm', '/a', 'box')
        assert result.code == 1 and "unmount '/a' in the box" in result.err and 'busy' in result.err, result
        assert len(box.inspect()['mounts']) == 1 and box.sh('touch /a/still').code == 0
        user.communicate(b'', timeout=60)
    nb.ok('update', '--volume-rm', '/a', 'box')
    again = nb.run('update', '--volume-rm', '/a', 'box')
    assert again.code == 1 and "nothing is mounted at '/a'" in again.err


def test_a_mount_that_fails_changes_nothing(nb, files):
    (files / 'file').touch()
    box = nb.running_box('-v', f'{files}:/v')
    for option, says in ((f'{files}/missing:/x', 'no such file'), (f'{files}:/v', 'two mounts have that path'), (f'{files}/file:/etc', 'Is a directory'),
                         (f'{files}:/etc/passwd/x', 'Not a directory'), (f'{files}:/', 'root')):
        result = nb.run('update', '--volume-add', option, 'box')
        assert result.code == 1 and says in result.err, result
    assert len(box.inspect()['mounts']) == 1 and box.exec('ls', '/v').text == 'file'
    wait_until('no server of what failed', lambda: len(servers()) == 1)
    assert nb.run('update', 'box').code == 125 or nb.run('update', 'box').code == 2


def test_a_volume_is_mounted_and_unmounted_more_often_than_there_are_numbers(nb, files):
    (files / 'file').write_text('x')
    box = nb.running_box()
    for i in range(rounds(20, 600)):
        nb.ok('update', '--volume-add', f'{files}:/v', 'box')
        if i % 10 == 0:
            assert box.exec('cat', '/v/file').out == b'x'
        nb.ok('update', '--volume-rm', '/v', 'box')
    wait_until('no server is left', lambda: servers() == [])


def test_many_programs_change_the_volumes_of_one_box(nb, files):
    count = 8
    for i in range(count):
        (files / str(i)).mkdir()
    box = nb.running_box()
    for _ in range(rounds(2, 50)):
        added = [nb.popen('update', '--volume-add', f'{files}/{i}:/v/{i}', 'box') for i in range(count)]
        assert [nb.finish(process).code for process in added] == [0] * count
        assert box.exec('ls', '/v').text.split() == [str(i) for i in range(count)]
        assert len(box.inspect()['mounts']) == count
        removed = [nb.popen('update', '--volume-rm', f'/v/{i}', 'box') for i in range(count)]
        assert [nb.finish(process).code for process in removed] == [0] * count
        assert box.inspect()['mounts'] == []


def test_a_box_that_unmounts_its_volume_by_itself_goes_on(nb, files):
    box = nb.running_box('-v', f'{files}:/v', '--cap-add', 'SYS_ADMIN')
    assert box.exec('umount', '/v').code == 0
    wait_until('its server has gone', lambda: servers() == [])
    assert box.exec('true').code == 0
    nb.ok('update', '--volume-rm', '/v', '--volume-add', f'{files}:/v', 'box')
    assert box.sh('touch /v/file').code == 0 and (files / 'file').exists()


def test_a_stop_while_a_volume_comes_hangs_nobody(nb, files):
    for _ in range(rounds(3, 30)):
        nb.running_box()
        adding = nb.popen('update', '--volume-add', f'{files}:/v', 'box')
        stopping = nb.popen('stop', '-t', '1', 'box')
        nb.finish(adding)  # either way
        assert nb.finish(stopping).code == 0
        nb.ok('start', 'box')  # with what was recorded
        nb.ok('rm', '-f', 'box')

# SPDX-License-Identifier: Apache-2.0
"""nestbox cp: files and folders into and out of a running box, and archives through stdin and stdout."""
import hashlib
import io
import os
import signal
import stat
import subprocess
import tarfile
import time

import pytest

from nestbox import rounds, wait_until

MIB = 1 << 20


def make_tree(folder):
    """Every kind of thing that a user's folder has."""
    folder.mkdir()
    (folder / 'text').write_text('hello\n')
    (folder / 'bytes').write_bytes(os.urandom(3 * MIB + 17))
    (folder / 'empty').touch()
    (folder / 'sub' / 'deeper').mkdir(parents=True)
    (folder / 'sub' / 'deeper' / 'a name with spaces and \u00e9').write_text('x')
    (folder / 'sub' / ('n' * 255)).write_text('long')
    (folder / 'link').symlink_to('sub/deeper')
    (folder / 'dangling').symlink_to('/no/where')
    os.link(folder / 'text', folder / 'same text')
    with open(folder / 'holes', 'wb') as file:
        file.seek(20 * MIB)
        file.write(b'end')
    os.chmod(folder / 'text', 0o751)
    os.chmod(folder / 'sub', 0o700)
    os.utime(folder / 'text', ns=(0, 1_234_567_890_123_456_789))
    os.utime(folder / 'sub', ns=(0, 987_654_321_000_000_000))


def listing(folder):
    """What a tree is, without owners: those are the copier's to choose."""
    found = {}
    for path in [folder, *sorted(folder.rglob('*'))]:
        status = path.lstat()
        name = str(path.relative_to(folder))
        content = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        links = status.st_nlink if stat.S_ISREG(status.st_mode) else None
        found[name] = (stat.filemode(status.st_mode), content, links, status.st_mtime_ns if not stat.S_ISLNK(status.st_mode) else None)
    return found


def test_a_tree_comes_back_as_it_went(nb, box, files):
    make_tree(files / 'tree')
    box.sh('rm -rf /copied')
    nb = box.nestbox
    nb.ok('cp', files / 'tree', 'box:/copied')
    assert box.sh('cat /copied/text; readlink /copied/link; stat -c %a /copied/text /copied/sub; stat -c %u:%g /copied/bytes').lines == [
        'hello', 'sub/deeper', '751', '700', '0:0']
    nb.ok('cp', 'box:/copied', files / 'back')
    assert listing(files / 'back') == listing(files / 'tree')
    assert (files / 'back' / 'holes').stat().st_blocks * 512 < 10 * MIB
    assert int(box.sh('du -k /copied/holes | cut -f1').text) < 10 * 1024


@pytest.mark.parametrize('source,destination,result', [
    ('file', 'new', 'new'), ('file', 'folder', 'folder/file'), ('file', 'other', 'other'), ('folder', 'new', 'new/inside'),
    ('folder', 'there', 'there/folder/inside'), ('folder/.', 'there', 'there/inside'), ('file', 'new/', None), ('file', 'no/new', None),
    ('folder', 'other', None)])
def test_where_it_goes_is_docker_s_table_in_both_directions(box, files, source, destination, result):
    nb = box.nestbox
    here, out = files / 'here', files / 'out'
    for folder in (here, out):
        folder.mkdir()
        (folder / 'there').mkdir()
        (folder / 'other').write_text('old')
    (here / 'file').write_text('content')
    (here / 'folder').mkdir()
    (here / 'folder' / 'inside').write_text('content')
    if destination == 'folder':
        (out / 'folder').mkdir()
    box.sh('rm -rf /t && mkdir -p /t/there && echo -n old >/t/other' + (' && mkdir /t/folder' if destination == 'folder' else ''))
    into = nb.run('cp', f'{here}/{source}', f'box:/t/{destination}')
    box.sh('rm -rf /s && mkdir -p /s/folder && echo -n content | tee /s/file >/s/folder/inside')
    outof = nb.run('cp', f'box:/s/{source}', f'{out}/{destination}')
    if result:
        assert (into.code, outof.code) == (0, 0), (into, outof)
        assert box.exec('cat', f'/t/{result}').text == 'content'
        assert (out / result).read_text() == 'content'
    else:
        assert (into.code, outof.code) == (1, 1)
        assert into.err.startswith('nestbox: cp: ') and outof.err.startswith('nestbox: cp: '), (into, outof)
        assert box.exec('cat', '/t/other').text == (out / 'other').read_text() == 'old'


def test_archives_go_through_stdout_and_stdin(box, files):
    nb = box.nestbox
    box.sh('rm -rf /a /b; mkdir -p /a/sub /b; echo one >/a/file; ln -s file /a/link; chown 1000:1001 /a/file')
    out = nb.run('cp', 'box:/a', '-')
    assert out.code == 0, out
    with tarfile.open(fileobj=io.BytesIO(out.out)) as tar:
        members = {member.name: member for member in tar}
        assert sorted(members) == ['a', 'a/file', 'a/link', 'a/sub']
        assert (members['a/file'].uid, members['a/file'].gid, tar.extractfile('a/file').read()) == (1000, 1001, b'one\n')
    listed = subprocess.run(['tar', '-t'], input=out.out, stdout=subprocess.PIPE, check=True).stdout.split()
    assert sorted(listed) == [b'a/', b'a/file', b'a/link', b'a/sub/']
    assert nb.run('cp', '-', 'box:/b', input=out.out).code == 0
    assert box.sh('cat /b/a/file; stat -c %u:%g /b/a/file; readlink /b/a/link').lines == ['one', '1000:1001', 'file']
    for wrong in (b'no archive at all' * 100, out.out[:1000]):
        result = nb.run('cp', '-', 'box:/b', input=wrong)
        assert result.code == 1 and 'in the box: ' in result.err, result
    result = nb.run('cp', '-', 'box:/b/nowhere', input=out.out)
    assert result.code == 1 and "'/b/nowhere'" in result.err, result


def test_owners_are_kept_when_asked_for(box, files):
    nb = box.nestbox
    (files / 'file').write_text('x')
    os.chown(files / 'file', os.geteuid(), os.getegid())
    box.sh('rm -f /mine /theirs')
    nb.ok('cp', files / 'file', 'box:/mine')
    nb.ok('cp', '-a', files / 'file', 'box:/theirs')
    assert box.sh('stat -c %u:%g /mine /theirs').lines == ['0:0', f'{os.geteuid()}:{os.getegid()}']
    box.sh('echo x >/owned; chown 1234:2345 /owned; chmod 4755 /owned')
    nb.ok('cp', 'box:/owned', files / 'plain')
    status = (files / 'plain').stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o755)
    if os.geteuid() == 0:
        nb.ok('cp', '-a', 'box:/owned', files / 'kept')
        assert ((files / 'kept').stat().st_uid, (files / 'kept').stat().st_gid) == (1234, 2345)


def test_links_at_the_source_stay_links_unless_followed(box, files):
    nb = box.nestbox
    (files / 'target').write_text('x')
    (files / 'link').symlink_to('target')
    box.sh('rm -rf /l; mkdir /l; echo y >/l/target; ln -s target /l/link')
    nb.ok('cp', files / 'link', 'box:/l/as-link')
    nb.ok('cp', '-L', files / 'link', 'box:/l/as-file')
    assert box.sh('readlink /l/as-link; readlink /l/as-file; cat /l/as-file').text == 'target\nx'
    nb.ok('cp', 'box:/l/link', files / 'box-link')
    nb.ok('cp', '-L', 'box:/l/link', files / 'box-file')
    assert (files / 'box-link').is_symlink() and not (files / 'box-file').is_symlink()


def test_a_copy_sees_the_box_s_mounts_and_needs_nothing_of_its_image(nb, box, files):
    root = files / 'root'
    root.mkdir()
    box.nestbox.ok('cp', 'box:/bin/busybox', root / 'busybox')
    box = nb.running_box('--user', '1000', image=f'dir:{root}', command=('/busybox', 'sleep', '100000'))
    (files / 'file').write_text('through a mount')
    nb.ok('cp', files / 'file', 'box:/dev/shm/')
    assert box.exec('/busybox', 'cat', '/dev/shm/file').text == 'through a mount'
    nb.ok('cp', 'box:/dev/shm/file', files / 'back')
    assert (files / 'back').read_text() == 'through a mount'


@pytest.mark.parametrize('words,status,said', [
    (('box:/nothing', '{files}'), 1, "'/nothing': No such file"), (('{files}/nothing', 'box:/'), 1, "nothing': No such file"),
    (('box:/a', 'box:/b'), 2, 'one box at a time'), (('/a', './b:c'), 2, 'BOX:PATH'), (('box:/bin/sh',), 2, 'DST'),
    (('nobody:/a', '{files}'), 1, "'nobody'"), (('box:/bin/sh', '{files}/no/where'), 1, "no/'"),
    (('{files}', 'box:/proc/1/comm'), 1, 'no folder')])
def test_what_cannot_be_copied_is_said(box, files, words, status, said):
    result = box.nestbox.run('cp', *(word.format(files=files) for word in words))
    assert result.code == status and said in result.err and result.err.startswith('nestbox: cp: '), result


def test_s34_a_box_that_does_not_run_is_visited_without_a_trace(homes, nb, files):
    nb.ok('create', '--name', 'still', 'busybox', 'sh', '-c', 'cat /note; echo ran >>/runs; exit 3')
    (files / 'note').write_text('hello')
    nb.ok('cp', files / 'note', 'still:/note')
    assert nb.inspect('still')['state'] == 'created'
    assert nb.run('start', '-a', 'still').code == 3
    before = nb.inspect('still')
    nb.ok('cp', 'still:/runs', files / 'runs')
    nb.ok('cp', files / 'note', 'still:/second')
    assert (files / 'runs').read_text() == 'ran\n'
    assert nb.inspect('still') == before
    assert nb.ok('logs', 'still').text == 'hello'
    result = nb.run('cp', 'still:/nothing', str(files))
    assert result.code == 1 and "'/nothing'" in result.err, result
    wait_until('no process is left', lambda: not homes.new_processes())
    assert nb.run('start', '-a', 'still').code == 3
    nb.ok('cp', 'still:/runs', files / 'runs')
    assert (files / 'runs').read_text() == 'ran\nran\n'


def test_s32_a_start_waits_for_a_visit_and_a_killed_visitor_leaves_the_box_as_it_was(homes, nb, files):
    nb.ok('create', '--name', 'still', 'busybox', 'sh', '-c', 'echo ran >>/runs')
    visitor = nb.popen('cp', '-', 'still:/tmp', stdin=subprocess.PIPE)
    wait_until('the machine runs', lambda: any(p.name.startswith('qemu-') for p in homes.new_processes()))
    starting = nb.popen('start', '-a', 'still')
    time.sleep(1)
    assert starting.poll() is None and nb.state('still') == 'starting'
    visitor.kill()
    nb.finish(visitor)
    assert nb.finish(starting).code == 0
    nb.ok('cp', 'still:/runs', files / 'runs')
    assert (files / 'runs').read_text() == 'ran\n'
    visitor = nb.popen('cp', '-', 'still:/tmp', stdin=subprocess.PIPE)
    wait_until('the machine runs', lambda: any(p.name.startswith('qemu-') for p in homes.new_processes()))
    nb.ok('stop', '-t', '0', 'still')
    assert nb.finish(visitor).code == 1
    assert (nb.inspect('still')['state'], nb.inspect('still')['exit_code']) == ('stopped', 0)


def test_two_copies_of_a_box_that_does_not_run_take_turns(nb, files):
    nb.ok('create', '--name', 'still', 'busybox')
    (files / 'a').write_text('a')
    (files / 'b').write_text('b')
    for process in [nb.popen('cp', files / name, f'still:/{name}') for name in 'ab']:
        result = nb.finish(process)
        assert result.code == 0, result
    assert nb.ok('run', '--rm', 'busybox', 'true').code == 0
    nb.ok('cp', 'still:/a', files / 'a2')
    nb.ok('cp', 'still:/b', files / 'b2')
    assert (files / 'a2').read_text() + (files / 'b2').read_text() == 'ab'


def test_s27_a_full_disk_in_the_box_fails_the_copy_and_leaves_nothing_half(nb, files):
    box = nb.running_box('--disk', '64m')
    (files / 'big').write_bytes(os.urandom(100 * MIB))
    (files / 'small').write_text('x')
    result = nb.run('cp', files / 'big', 'box:/big')
    assert result.code == 1 and 'No space left' in result.err, result
    assert box.exec('test', '-e', '/big').code == 1
    nb.ok('cp', files / 'small', 'box:/small')
    assert box.exec('cat', '/small').text == 'x'


def running_copies(box):
    return [e for e in box.inspect()['execs'] if e['command'][0].startswith('copy-') and e['running']]


def test_a_killed_client_ends_its_copy(box, files):
    nb = box.nestbox
    box.sh('head -c 20000000 /dev/zero >/large; rm -f /half')
    out = nb.popen('cp', 'box:/large', '-')
    assert out.stdout.read(1000)
    wait_until('it runs', lambda: running_copies(box))
    out.kill()
    nb.finish(out)
    wait_until('the copier in the box is gone', lambda: not running_copies(box))
    into = nb.popen('cp', '-', 'box:/tmp', stdin=subprocess.PIPE)
    header = tarfile.TarInfo('half')
    header.size = 10 * MIB
    into.stdin.write(header.tobuf() + bytes(MIB))
    into.stdin.flush()
    wait_until('it is there', lambda: box.exec('test', '-s', '/tmp/half').code == 0)
    into.kill()
    nb.finish(into)
    wait_until('the copier in the box is gone', lambda: not running_copies(box))
    assert box.exec('test', '-e', '/tmp/half').code == 1
    box.sh('rm /large')


def test_copies_of_every_size_go_through_at_once(box, files):
    nb = box.nestbox
    count = rounds(4, 12)
    for number in range(count):
        (files / f'{number}').write_bytes(os.urandom((number + 1) * 4 * MIB + number))
    box.sh('rm -rf /many; mkdir /many')
    for process in [nb.popen('cp', files / f'{number}', 'box:/many') for number in range(count)]:
        result = nb.finish(process, timeout=120)
        assert result.code == 0, result
    for number, process in enumerate([nb.popen('cp', f'box:/many/{number}', files / f'{number}.back') for number in range(count)]):
        result = nb.finish(process, timeout=120)
        assert result.code == 0, result
        assert (files / f'{number}.back').read_bytes() == (files / f'{number}').read_bytes()
    box.sh('rm -rf /many')


def test_many_small_files_keep_their_names_and_contents(box, files):
    nb = box.nestbox
    count = rounds(2000, 20000)
    (files / 'many').mkdir()
    for number in range(count):
        (files / 'many' / f'{number}').write_text(str(number * 7))
    box.sh('rm -rf /small')
    nb.ok('cp', files / 'many', 'box:/small', timeout=300)
    assert box.sh('cd /small; ls | wc -l; cat 0 1 2').text == f'{count}\n0714'
    nb.ok('cp', 'box:/small/.', files / 'back', timeout=300)
    assert {path.name: path.read_text() for path in (files / 'back').iterdir()} == {f'{n}': str(n * 7) for n in range(count)}


def test_s34_a_copy_does_not_run_the_main_command_and_ends_with_the_box(nb, files):
    box = nb.running_box()
    box.sh('head -c 20000000 /dev/zero >/large')
    copy = nb.popen('cp', 'box:/large', '-')
    assert copy.stdout.read(1000)
    began = time.monotonic()
    nb.ok('stop', '-t', '1', 'box')
    result = nb.finish(copy)
    assert result.code == 1 and 'nestbox: cp: ' in result.err, result
    assert time.monotonic() - began < 60


def test_an_interrupted_copy_leaves_the_terminal_and_the_box_as_they_were(box, files):
    nb = box.nestbox
    box.sh('head -c 100000000 /dev/zero >/large')
    copy = nb.popen('cp', 'box:/large', files / 'large')
    wait_until('it has begun', lambda: (files / 'large').exists() and (files / 'large').stat().st_size > 0)
    copy.send_signal(signal.SIGINT)
    assert nb.finish(copy).code == -signal.SIGINT
    wait_until('the copier in the box is gone', lambda: not running_copies(box))
    box.sh('rm /large')

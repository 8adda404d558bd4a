# SPDX-License-Identifier: Apache-2.0
"""Images: where they come from, what they say, and those that must not be believed."""
import gzip
import io
import os
import re
import subprocess
import tarfile

import pytest

import layout
from layout import Tar
from nestbox import wait_until
from test_lists import documented_keys


def images(nb):
    return nb.json('images', '--format', 'json')


def temporary_files(nb):
    """What a failed preparation has left."""
    return [path for path in nb.files() if path.startswith('images/') and path != 'images/lock']


def refused(homes, nb, result, *named, code=1):
    """One clear line, perhaps a hint; no image, no file, no process."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, b'') and 1 <= len(lines) <= 2 and all(name in lines[0] for name in named), result
    assert images(nb) == [] and nb.boxes() == [] and temporary_files(nb) == []
    wait_until('the worker, which ends by itself, is gone', lambda: homes.new_processes() == [])


# ------------------------------------------------------------------------------------------------------------ configuration

def test_s40_layers_are_put_on_top_of_each_other(nb, oci, busybox_layer):
    first = Tar().folder('data').file('data/old', 'old').file('data/kept', 'kept').folder('full').file('full/a', 'a').file('swap', 'file')
    second = Tar().file('data/.wh.old').file('data/new', 'new').folder('full').file('full/.wh..wh..opq').file('full/b', 'b')
    second.folder('swap').file('swap/inside', 'inside')
    oci.image('latest', [busybox_layer, first.bytes(), second.bytes()])
    result = nb.ok('run', '--rm', f'oci:{oci.path}', 'sh', '-c', 'ls /data /full /swap; cat /data/kept /data/new')
    assert result.lines == ['/data:', 'kept', 'new', '', '/full:', 'b', '', '/swap:', 'inside', 'keptnew'], result


def test_s45_the_image_says_how_its_command_runs(nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer], Entrypoint=['sh', '-c', 'echo "$A|$(id -u):$(id -g)|$(pwd)|$HOME|$*"', 'sh'], Cmd=['one', 'two'],
              Env=['A=from image', 'PATH=/bin'], User='web', WorkingDir='/made/up')
    assert nb.ok('run', '--rm', f'oci:{oci.path}').text == 'from image|1234:5678|/made/up|/srv/web|one two'
    assert nb.ok('run', '--rm', f'oci:{oci.path}', 'three').text.endswith('|three')
    assert nb.ok('run', '--rm', '-e', 'A=mine', '-u', '0', '-w', '/tmp', f'oci:{oci.path}').text == 'mine|0:0|/tmp|/root|one two'


@pytest.mark.parametrize('config,words,expected', [
    ({}, ['echo', 'c'], 'c'),
    ({'Cmd': ['echo', 'cmd']}, [], 'cmd'),
    ({'Cmd': ['echo', 'cmd']}, ['echo', 'c'], 'c'),
    ({'Entrypoint': ['echo', 'entry']}, [], 'entry'),
    ({'Entrypoint': ['echo', 'entry']}, ['c'], 'entry c'),
    ({'Entrypoint': ['echo', 'entry'], 'Cmd': ['cmd']}, [], 'entry cmd'),
    ({'Entrypoint': ['echo', 'entry'], 'Cmd': ['cmd']}, ['c'], 'entry c'),
])
def test_s45_entrypoint_and_command(nb, oci, busybox_layer, config, words, expected):
    oci.image('latest', [busybox_layer], **config)
    nb.ok('create', '--name', 'b', f'oci:{oci.path}', *words)
    assert nb.inspect('b')['command'] == ['echo', *expected.split()]


def test_s45_an_entrypoint_of_the_user_s_drops_the_image_s_command(nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer], Entrypoint=['echo', 'entry'], Cmd=['cmd'])
    for number, (words, expected) in enumerate([(['--entrypoint', 'env', f'oci:{oci.path}'], ['env']),
                                                (['--entrypoint', 'env', f'oci:{oci.path}', 'x'], ['env', 'x']),
                                                (['--entrypoint', '', f'oci:{oci.path}', 'x'], ['x'])]):
        nb.ok('create', '--name', f'b{number}', *words)
        assert nb.inspect(f'b{number}')['command'] == expected


def test_s45_no_command_at_all_is_125_with_words(nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer])
    result = nb.run('run', '--rm', f'oci:{oci.path}')
    assert result.code == 125 and 'command' in result.err and nb.boxes() == [], result


IDS = {'web': '1234 5678 5678 42', '1234': '1234 5678 5678 42', 'web:42': '1234 42 42', 'web:extra': '1234 42 42', '77': '77 0 0',
       '77:88': '77 88 88', '0': '0 0 0', 'root:web': '0 5678 5678'}


def test_s45_a_user_in_every_form_with_supplementary_groups(nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer], User='web')
    box = nb.running_box(image=f'oci:{oci.path}')
    ids = 'echo $(id -u) $(id -g) $(id -G)'
    assert box.sh(ids).text == IDS['web']
    assert {user: box.sh(ids, options=['-u', user]).text for user in IDS} == IDS
    # The kernel's own list: the group is in it too, or a set-group-id program would be a way out of it.
    groups = 'while read -r name list; do [ "$name" = Groups: ] && echo $list; done </proc/self/status'
    assert [box.sh(groups, options=['-u', user]).text for user in ('web', 'web:extra', '77')] == ['42 5678', '42', '0']


def test_s45_the_image_s_stop_signal_is_sent(nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer], StopSignal='SIGUSR2', Cmd=['sh', '-c', 'trap "exit 6" USR2; echo ready; while :; do sleep 0.1; done'])
    nb.ok('run', '-d', '--name', 'b', f'oci:{oci.path}')
    nb.wait_for_log('b', b'ready\n')
    nb.ok('stop', 'b')
    assert nb.inspect('b')['exit_code'] == 6


def test_s43_owners_modes_and_times_are_exact(nb, oci, busybox_layer):
    odd = Tar().folder('d', mode=0o1777).file('d/suid', 'x', mode=0o4755, uid=7, gid=8, mtime=1000000000)
    odd.file('d/large-id', 'x', mode=0o640, uid=2000000, gid=3000000).symlink('d/link', 'suid').file('d/' + 'n' * 255, 'long')
    odd.file('implicit/parent/file', 'x')
    oci.image('latest', [busybox_layer, odd.bytes()])
    script = 'stat -c "%a %u %g %Y %n" /d /d/suid /d/large-id; cat /d/n*; echo; cat /d/link; echo; stat -c %a /implicit/parent'
    lines = nb.ok('run', '--rm', f'oci:{oci.path}', 'sh', '-c', script).lines
    assert lines[0].startswith('1777 0 0 ') and lines[1:] == ['4755 7 8 1000000000 /d/suid', '640 2000000 3000000 0 /d/large-id', 'long', 'x', '755'], lines


# ------------------------------------------------------------------------------------------------------------ where from

def test_a_tag_is_chosen(nb, oci, busybox_layer):
    oci.image('one', [busybox_layer], Cmd=['echo', '1'])
    oci.image('two', [busybox_layer], Cmd=['echo', '2'])
    nb.ok('create', '--name', 'a', f'oci:{oci.path}:one')
    nb.ok('create', '--name', 'b', f'oci:{oci.path}:two')
    assert [nb.inspect(name)['command'] for name in 'ab'] == [['echo', '1'], ['echo', '2']]
    result = nb.run('create', f'oci:{oci.path}:three')
    assert result.code == 1 and 'three' in result.err, result


def test_an_oci_archive(nb, oci, files, busybox_layer):
    oci.image('latest', [busybox_layer], Cmd=['echo', 'archived'])
    archive = oci.archive(files / 'image.tar')
    assert nb.ok('run', '--rm', f'oci-archive:{archive}').text == 'archived'


def test_a_docker_archive(nb, files, busybox_layer):
    archive = layout.docker_archive(files / 'image.tar', 'web:1', [busybox_layer], Cmd=['echo', 'saved'])
    assert nb.ok('run', '--rm', f'docker-archive:{archive}').text == 'saved'


@pytest.mark.tools('skopeo')
def test_a_docker_archive_that_skopeo_wrote(nb, oci, files, busybox_layer):
    oci.image('latest', [busybox_layer, Tar().file('second', 'layer').bytes()], Cmd=['cat', '/second'])
    subprocess.run(['skopeo', 'copy', '--quiet', '--insecure-policy', f'oci:{oci.path}:latest', f'docker-archive:{files}/image.tar:web:1'], check=True)
    assert nb.ok('run', '--rm', f'docker-archive:{files}/image.tar').text == 'layer'


@pytest.mark.tools('skopeo')
def test_an_oci_archive_that_skopeo_wrote_with_zstd(nb, oci, files, busybox_layer):
    oci.image('latest', [busybox_layer], Cmd=['echo', 'zstd'])
    subprocess.run(['skopeo', 'copy', '--quiet', '--insecure-policy', '--dest-compress-format', 'zstd', '--dest-compress',
                    f'oci:{oci.path}:latest', f'oci-archive:{files}/image.tar:latest'], check=True)
    assert nb.ok('run', '--rm', f'oci-archive:{files}/image.tar').text == 'zstd'


@pytest.mark.tools('umoci')
def test_an_image_that_umoci_wrote(nb, files, busybox_layer):
    (files / 'layer.tar').write_bytes(busybox_layer)
    image = f'{files}/umoci:v1'
    for words in (['init', '--layout', f'{files}/umoci'], ['new', '--image', image], ['raw', 'add-layer', '--image', image, f'{files}/layer.tar'],
                  ['config', '--image', image, '--config.cmd', 'echo', '--config.cmd', 'umoci']):
        subprocess.run(['umoci', *words], check=True, stdout=subprocess.DEVNULL)
    assert nb.ok('run', '--rm', f'oci:{image}').text == 'umoci'


@pytest.mark.tools('mmdebstrap', 'umoci')
def test_a_real_python_runs(nb, request):
    image = request.getfixturevalue('python_image')
    result = nb.run('run', '--rm', f'oci:{image}', 'python3', '-c', 'print(6*7)', timeout=180)
    assert (result.code, result.out) == (0, b'42\n'), result
    assert nb.ok('run', '--rm', f'oci:{image}', 'python3', '-c', 'import os; print(os.environ["LANG"], os.uname().sysname)').text == 'C.UTF-8 Linux'


COMPRESSIONS = {'.tar': lambda data: data, '.tar.gz': gzip.compress,
                '.tar.zst': lambda data: subprocess.run(['zstd', '-q'], input=data, stdout=subprocess.PIPE, check=True).stdout}


@pytest.mark.parametrize('suffix', COMPRESSIONS)
def test_a_root_file_system(nb, files, busybox_layer, suffix):
    path = files / f'root{suffix}'
    path.write_bytes(COMPRESSIONS[suffix](busybox_layer))
    assert nb.ok('run', '--rm', f'rootfs:{path}', 'echo', 'hi').text == 'hi'
    assert [image['name'] for image in images(nb)] == [f'rootfs:{path}']


def test_a_folder_as_root_file_system(nb, files, busybox_layer):
    root = files / 'root'
    with tarfile.open(fileobj=io.BytesIO(busybox_layer)) as tar:
        tar.extractall(root)
    (root / 'mine').write_text('from a folder\n')
    assert nb.ok('run', '--rm', f'dir:{root}', 'cat', '/mine').text == 'from a folder'
    (root / 'mine').write_text('changed\n')
    assert nb.ok('run', '--rm', f'dir:{root}', 'cat', '/mine').text == 'changed'
    assert (root / 'mine').read_text() == 'changed\n'


def test_an_image_that_is_here_and_has_not_changed_is_not_made_again(nb, files, busybox_layer):
    path = files / 'root.tar'
    path.write_bytes(busybox_layer)
    nb.ok('create', f'rootfs:{path}', 'true')
    first = images(nb)
    nb.ok('create', f'rootfs:{path}', 'true')
    assert images(nb) == first
    path.write_bytes(layout.Tar().file('other', 'x').bytes())
    nb.ok('create', '--name', 'other', f'rootfs:{path}', 'true')
    assert nb.inspect('other')['image_id'] != first[0]['id']


def test_a_relative_path_names_an_image(nb, files, busybox_layer):
    (files / 'root.tar').write_bytes(busybox_layer)
    assert nb.ok('run', '--rm', 'rootfs:root.tar', 'echo', 'hi', cwd=files).text == 'hi'


# ------------------------------------------------------------------------------------------------------------ commands

def test_import_makes_an_image_of_a_file(nb, files, busybox_layer):
    (files / 'root.tar').write_bytes(busybox_layer)
    id = nb.ok('import', '--cmd', 'echo $((6 * 7))', str(files / 'root.tar'), 'answer').text
    assert re.fullmatch('sha256:[0-9a-f]{64}', id)
    assert nb.ok('run', '--rm', 'answer').text == '42'
    assert nb.json('image', 'inspect', 'answer')[0]['command'] == ['/bin/sh', '-c', 'echo $((6 * 7))']


def test_import_reads_stdin_and_words_in_json(nb, busybox_layer):
    nb.ok('import', '--cmd', '["echo", "a b"]', '-', 'piped', input=gzip.compress(busybox_layer))
    assert nb.ok('run', '--rm', 'piped').text == 'a b'


@pytest.mark.parametrize('way', ['file', 'stdin'])
@pytest.mark.parametrize('kind', ['docker', 'oci'])
def test_load_takes_either_archive_from_a_file_or_stdin(nb, oci, files, busybox_layer, way, kind):
    if kind == 'docker':
        archive = layout.docker_archive(files / 'image.tar', 'web:1', [busybox_layer], Cmd=['echo', 'loaded'])
    else:
        oci.image('web:1', [busybox_layer], Cmd=['echo', 'loaded'])
        archive = oci.archive(files / 'image.tar')
    result = nb.ok('load', '-i', str(archive)) if way == 'file' else nb.ok('load', input=archive.read_bytes())
    name = result.text.removeprefix('Loaded image: ')
    assert name != result.text and 'web:1' in name, result
    nb.ok('create', '--name', 'b', name)
    assert nb.inspect('b')['command'] == ['echo', 'loaded']


def test_images_lists_them(nb, busybox_layer):
    nb.ok('import', '-', 'mine', input=busybox_layer)
    nb.ok('create', 'busybox', 'true')
    heading, *rows = nb.ok('images').lines
    assert re.split('  +', heading) == ['NAME', 'IMAGE ID', 'CREATED', 'SIZE'] and [row.split()[0] for row in rows] == ['busybox', 'mine']
    ids = [image['id'] for image in images(nb)]
    assert nb.ok('images', '-q').lines == [id.removeprefix('sha256:')[:12] for id in ids]
    assert nb.ok('images', '-q', '--no-trunc').lines == ids
    assert nb.ok('image', 'ls').lines[0].split() == heading.split() # ages of another width move the columns


def test_image_inspect_has_the_documented_keys(nb):
    nb.ok('create', 'busybox', 'true')
    image, = nb.json('image', 'inspect', 'busybox')
    assert set(image) == documented_keys('Images')
    assert (image['command'], image['architecture'], image['os']) == (['sh'], layout.ARCHITECTURE, 'linux') and image['size_bytes'] > 0
    for id in (image['id'], image['id'].removeprefix('sha256:')[:6]):
        # Found by its id, it is none of its names that was asked for.
        assert nb.json('image', 'inspect', id) == [image | {'name': None}]


SAYS_MORE = {'ExposedPorts': {'80': {}, '53/udp': {}}, 'Volumes': {'/data': {}}, 'Shell': ['/bin/bash', '-c'],
             'Healthcheck': {'Test': ['CMD-SHELL', 'wget -q localhost'], 'Interval': 30 * 10**9, 'Retries': 3}}
SHOWS_MORE = {'exposed_ports': ['80/tcp', '53/udp'], 'volumes': ['/data'], 'shell': ['/bin/bash', '-c'],
              'health_check': {'test': ['CMD-SHELL', 'wget -q localhost'], 'interval_ns': 30 * 10**9, 'timeout_ns': None,
                               'start_period_ns': None, 'retries': 3}}


def shows(nb, name):
    image, = nb.json('image', 'inspect', name)
    return {key: image[key] for key in SHOWS_MORE}


def test_inspect_shows_ports_volumes_shell_and_health_check(nb, oci, files, busybox_layer):
    oci.image('latest', [busybox_layer], Cmd=['ls', '-d', '/data'], **SAYS_MORE)
    assert nb.run('run', '--rm', f'oci:{oci.path}').code == 1  # no volume is made
    assert shows(nb, f'oci:{oci.path}') == SHOWS_MORE
    nb.ok('load', '-i', str(layout.docker_archive(files / 'image.tar', 'web:1', [busybox_layer], **SAYS_MORE)))
    assert shows(nb, 'web:1') == SHOWS_MORE


def test_inspect_shows_null_for_what_an_image_does_not_say(nb, oci, busybox_layer):
    nb.ok('create', 'busybox', 'true')
    assert shows(nb, 'busybox') == dict.fromkeys(SHOWS_MORE)
    oci.image('none', [busybox_layer], Cmd=['true'], ExposedPorts={}, Healthcheck={'Test': ['NONE']})
    nb.ok('create', f'oci:{oci.path}:none')
    assert shows(nb, f'oci:{oci.path}:none') == dict.fromkeys(SHOWS_MORE) | {
        'health_check': {'test': ['NONE'], 'interval_ns': None, 'timeout_ns': None, 'start_period_ns': None, 'retries': None}}


@pytest.mark.parametrize('config,word', [({'ExposedPorts': {'web': {}}}, 'web'), ({'Volumes': {'data': {}}}, 'data'),
                                         ({'Healthcheck': {'Test': ['true']}}, 'Healthcheck')])
def test_a_configuration_that_is_wrong_is_refused(homes, nb, oci, busybox_layer, config, word):
    oci.image('latest', [busybox_layer], **config)
    refused(homes, nb, nb.run('create', f'oci:{oci.path}', 'true'), word)


def test_rmi_removes_an_image_that_no_box_is_made_from(nb, busybox_layer):
    nb.ok('import', '-', 'mine', input=busybox_layer)
    nb.ok('create', '--name', 'b', 'mine', 'true')
    result = nb.run('rmi', 'mine')
    assert (result.code, result.out) == (1, b'') and "'mine'" in result.err and len(images(nb)) == 1, result
    nb.ok('rm', 'b')
    assert nb.ok('rmi', 'mine').text == 'mine'
    assert images(nb) == [] and temporary_files(nb) == []


@pytest.mark.parametrize('words', [['rmi', 'nosuch'], ['image', 'inspect', 'nosuch']])
def test_an_unknown_image_is_named(nb, words):
    result = nb.run(*words)
    assert result.code == 1 and "'nosuch'" in result.err, result


def test_pull_never_makes_nothing(nb):
    result = nb.run('run', '--rm', '--pull', 'never', 'busybox', 'true')
    assert result.code == 125 and images(nb) == [], result


# ------------------------------------------------------------------------------------------------------------ bad input

def test_an_unknown_image_fails_a_run_with_a_hint(homes, nb):
    result = nb.run('run', '--rm', 'nosuch', 'true', timeout=10)
    assert '\nhint: ' in result.err, result
    refused(homes, nb, result, 'nosuch', code=125)


@pytest.mark.parametrize('reference', ['rootfs:/no/such', 'oci:/no/such', 'oci-archive:/no/such', 'docker-archive:/no/such', 'dir:/no/such'])
def test_a_missing_file_is_named(homes, nb, reference):
    refused(homes, nb, nb.run('run', '--rm', reference, 'true', timeout=10), '/no/such', code=125)


@pytest.mark.parametrize('reference', ['', ':', 'rootfs:', 'oci:', 'dir:', 'UPPER/case', 'a b', '../x', 'http://x/y'])
def test_a_reference_that_is_none_is_refused(homes, nb, reference):
    refused(homes, nb, nb.run('run', '--rm', '--', reference, 'true', timeout=10), code=125)


@pytest.mark.parametrize('kind', ['rootfs', 'oci-archive', 'docker-archive'])
@pytest.mark.parametrize('content', ['empty', 'text', 'random'])
def test_a_file_that_is_no_archive_is_refused(homes, nb, files, kind, content):
    path = files / 'archive'
    path.write_bytes({'empty': b'', 'text': b'this is no archive\n' * 100, 'random': os.urandom(100_000)}[content])
    refused(homes, nb, nb.run('run', '--rm', f'{kind}:{path}', 'true', timeout=20), str(path), code=125)


@pytest.mark.parametrize('suffix', COMPRESSIONS)
@pytest.mark.parametrize('part', [0.3, 0.99])
def test_a_truncated_root_file_system_is_refused(homes, nb, files, busybox_layer, suffix, part):
    # Random bytes: nothing of it may be missing unnoticed because it would have been zeros.
    whole = COMPRESSIONS[suffix](Tar().file('a', os.urandom(200_000)).file('b', os.urandom(200_000)).bytes())
    path = files / f'root{suffix}'
    path.write_bytes(whole[:int(len(whole.rstrip(b'\0')) * part)])
    refused(homes, nb, nb.run('import', str(path), 'x', timeout=20), code=1)


@pytest.mark.parametrize('part', [0.3, 0.9])
def test_a_truncated_image_archive_is_refused(homes, nb, files, part):
    path = layout.docker_archive(files / 'image.tar', 'web:1', [Tar().file('a', os.urandom(300_000)).bytes()], Cmd=['/a'])
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * part)])
    refused(homes, nb, nb.run('load', '-i', str(path), timeout=20))


@pytest.mark.parametrize('part', ['config', 'manifest', 'layer'])
@pytest.mark.parametrize('damage', ['other content', 'missing', 'longer'])
def test_s44_a_blob_that_is_not_what_its_digest_says_is_refused(homes, nb, oci, busybox_layer, part, damage):
    image = oci.image('latest', [busybox_layer], Cmd=['echo'])
    path = oci.blob_path((image['layers'][0] if part == 'layer' else image[part])['digest'])
    content = path.read_bytes()
    if damage == 'missing':
        path.unlink()
    else:
        path.write_bytes(content + b' ' if damage == 'longer' else content[:-10] + bytes(byte ^ 1 for byte in content[-10:]))
    refused(homes, nb, nb.run('run', '--rm', f'oci:{oci.path}', timeout=20), code=125)


def test_s44_a_layer_that_is_not_what_its_diff_id_says_is_refused(homes, nb, files, busybox_layer):
    path = layout.docker_archive(files / 'image.tar', 'web:1', [busybox_layer], Cmd=['echo'])
    whole = path.read_bytes()
    at = whole.index(b'root:x:0:0')
    path.write_bytes(whole[:at] + b'evil' + whole[at + 4:])
    refused(homes, nb, nb.run('load', '-i', str(path), timeout=20))


def test_s44_an_image_of_another_architecture_names_what_there_is(homes, nb, oci, busybox_layer):
    oci.image('latest', [busybox_layer], architecture='s390x', Cmd=['echo'])
    refused(homes, nb, nb.run('run', '--rm', f'oci:{oci.path}', timeout=20), 's390x', code=125)


@pytest.mark.parametrize('name', ['../escape', '/../../escape', 'a/../../escape'])
def test_s42_nothing_is_written_outside(homes, nb, files, busybox_layer, name):
    evil = layout.busybox_tar(b'').file(name, 'evil').bytes()
    (files / 'evil.tar').write_bytes(evil)
    nb.run('import', str(files / 'evil.tar'), 'evil', timeout=20)
    assert [path for path in homes.folder.rglob('escape*')] == [] and not os.path.exists('/escape')


def test_s41_a_symbolic_link_in_an_image_leads_nowhere_outside(nb, files, busybox_layer):
    (files / 'secret').write_text('host')
    tar = Tar().symlink('out', str(files)).file('out/inside', 'x').symlink('absolute', '/etc/passwd').bytes()
    oci = layout.Layout(files / 'links')
    oci.image('latest', [busybox_layer, tar])
    result = nb.run('run', '--rm', f'oci:{oci.path}', 'sh', '-c', 'cat /out/secret; cat /absolute | head -c 4')
    assert b'host' not in result.out and not (files / 'inside').exists(), result

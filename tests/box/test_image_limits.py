# SPDX-License-Identifier: Apache-2.0
"""Limits of images, set in images.json: what goes beyond one is refused with its name, its value and the way out, and leaves nothing."""
import json
import os
import re
import subprocess
import time

import pytest

from layout import Tar
from nestbox import ROOT, wait_until
from registry import Answer, FakeRegistry


@pytest.fixture
def limits(nb, files):
    """Writes images.json: limits(max_layers=2)."""
    path = files / 'images.json'
    nb.env['NESTBOX_IMAGES'] = str(path)

    def write(**settings):
        path.write_text(json.dumps(settings))
    write()
    return write


@pytest.fixture
def image(oci):
    """Three layers; its names and the documents' sizes are known."""
    return oci.image('1', [Tar().folder('a').file('a/one', 'one').bytes(), Tar().file('two', os.urandom(20000)).bytes(), Tar().file('three').bytes()],
                     Cmd=['/none'])


@pytest.fixture
def registry(homes, oci, image):
    with FakeRegistry(oci) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        yield registry


def left(nb):
    """What an image consists of: names, disks, blobs and parts."""
    files = [path for path in nb.files() if path.startswith(('images/', 'layout/')) and (nb.home / path).is_file()]
    return nb.json('images', '--format', 'json') + [path for path in files if path not in ('images/lock', 'layout/lock')]


def refused(homes, nb, result, name, value, code=1):
    lines = [line for line in result.err.splitlines() if not line.startswith('waiting for the ')]
    assert (result.code, result.out, len(lines)) == (code, b'', 2), result
    assert str(value) in lines[0] and lines[1].startswith('hint: ') and name in lines[1] and 'images.json' in lines[1], result
    assert left(nb) == [], result
    wait_until('the workers are gone', lambda: homes.new_processes() == [])


def size_of_manifest(image):
    return max(image['manifest']['size'], image['config']['size'])


# The least value that lets the image pass: how many layers, names, bytes of documents it has.
LEAST = {'max_layers': lambda image: 3, 'max_entries': lambda image: 4, 'max_manifest_bytes': size_of_manifest}


@pytest.mark.parametrize('name', LEAST)
def test_a_pull_is_held_to_each_limit(homes, nb, registry, image, limits, name):
    least = LEAST[name](image)
    limits(**{name: least - 1})
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), name, least - 1)
    assert name == 'max_entries' or len(registry.blobs_asked_for()) <= 1  # told by the manifest, or by the configuration
    for value in (least, least + 1):
        limits(**{name: value})
        nb.ok('pull', f'{registry.host}/app:1')
        nb.ok('rmi', f'{registry.host}/app:1')


@pytest.mark.parametrize('name', LEAST)
def test_an_archive_is_held_to_each_limit(homes, nb, oci, files, image, limits, name):
    archive = oci.archive(files / 'image.tar')
    least = max(LEAST[name](image), (oci.path / 'index.json').stat().st_size) if name == 'max_manifest_bytes' else LEAST[name](image)
    limits(**{name: least - 1})
    refused(homes, nb, nb.run('load', '-i', str(archive)), name, least - 1)
    refused(homes, nb, nb.run('create', f'oci:{oci.path}'), name, least - 1, code=1)
    limits(**{name: least})
    nb.ok('load', '-i', str(archive))


def test_more_bytes_than_an_image_may_have_are_not_even_fetched(homes, nb, registry, image, limits):
    packed = sum(layer['size'] for layer in image['layers'])
    limits(max_bytes=(packed - 1) // 4)
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), 'max_bytes', (packed - 1) // 4)
    assert registry.blobs_asked_for() == []
    limits(max_bytes=16384)  # what is packed may come, but its files take five blocks and folders
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), 'max_bytes', 16384)
    assert len(registry.blobs_asked_for()) == 4
    limits(max_bytes='64k')
    nb.ok('pull', f'{registry.host}/app:1')


def test_a_layer_that_grows_beyond_the_ratio(homes, nb, files, limits):
    """1.1 GiB of zeros: the first GiB is free."""
    path = files / 'zeros.tar.zst'
    header = subprocess.run(['tar', '-c', '--sort=name', '--format=gnu', '-C', str(files), 'images.json'], stdout=subprocess.PIPE, check=True).stdout[:512]
    size = 1100 << 20
    header = header[:124] + b'%011o\0' % size + header[136:148] + b' ' * 8 + header[156:]
    header = header[:148] + b'%06o\0 ' % sum(header) + header[156:]
    with open(path, 'wb') as packed:
        zstd = subprocess.Popen(['zstd', '-q', '-1'], stdin=subprocess.PIPE, stdout=packed)
        zstd.stdin.write(header)
        for _ in range((size >> 20) + 1):
            zstd.stdin.write(bytes(1 << 20))
        zstd.communicate()
    refused(homes, nb, nb.run('import', str(path), 'zeros'), 'max_ratio', 2000)
    limits(max_ratio=10**9)
    nb.ok('import', str(path), 'zeros')


def test_a_pull_that_takes_too_long_is_ended_and_gone_on_with(homes, nb, registry, oci, image, limits):
    digest = image['layers'][1]['digest']
    body = oci.blob_path(digest).read_bytes()
    answers = [Answer(200, body, cut=10000, keep_open=True)]

    def script(request):
        if digest in request.path and answers:
            raise answers.pop()
    registry.script = script
    limits(max_seconds=1)
    began = time.monotonic()
    result = nb.run('pull', f'{registry.host}/app:1')
    assert time.monotonic() - began < 20
    assert result.code == 1 and 'longer than 1 second' in result.err and 'max_seconds in images.json' in result.err, result
    assert nb.json('images', '--format', 'json') == []
    wait_until('the worker is gone', lambda: homes.new_processes() == [])
    limits(max_seconds=60)
    nb.ok('pull', f'{registry.host}/app:1')
    assert registry.headers_of(digest)[-1].get('Range') == 'bytes=10000-'


def test_an_endless_archive_is_not_copied_to_its_end(homes, nb, limits):
    limits(max_bytes='1m')
    client = nb.popen('load', stdin=subprocess.PIPE)
    sent = 0
    with pytest.raises(BrokenPipeError):
        while sent < 64 << 20:
            sent += os.write(client.stdin.fileno(), bytes(1 << 16))
    assert 4 << 20 <= sent < 8 << 20
    client.stdin.close()
    client.stdin = None
    refused(homes, nb, nb.finish(client), 'max_bytes', 4 << 20)


def test_an_archive_that_does_not_come_is_not_waited_for_for_ever(homes, nb, limits):
    limits(max_seconds=1)
    client = nb.popen('load', stdin=subprocess.PIPE)
    code = client.wait(timeout=60)  # its stdin is open all the time
    result = nb.finish(client)
    assert code == 1
    refused(homes, nb, result, 'max_seconds', 1)


def test_an_import_that_takes_too_long_is_ended(homes, nb, limits):
    limits(max_seconds=1)
    client = nb.popen('import', '-', 'x', stdin=subprocess.PIPE)
    code = client.wait(timeout=60)  # its stdin is open all the time
    result = nb.finish(client)
    assert code == 1
    refused(homes, nb, result, 'max_seconds', 1)


@pytest.mark.parametrize('text,word', [('{', 'JSON'), ('[]', 'object'), ('{"max_layer": 1}', 'max_layer'), ('{"max_layers": 0}', 'max_layers'),
                                       ('{"max_bytes": "1t"}', 'max_bytes')])
def test_wrong_settings_are_named(nb, files, registry, limits, text, word):
    (files / 'images.json').write_text(text)
    for words in (['pull', f'{registry.host}/app:1'], ['import', '-', 'x'], ['load'], ['create', 'busybox']):
        result = nb.run(*words)
        assert result.code == 1 and word in result.err and str(files / 'images.json') in result.err, result
    assert registry.requests == [] and left(nb) == []
    nb.ok('images')  # nothing that makes no image asks for them


def test_an_image_that_is_here_needs_no_settings(nb, files, limits):
    nb.ok('create', 'busybox')
    (files / 'images.json').write_text('nonsense')
    nb.ok('create', 'busybox')


def documented_settings():
    """(setting, default, most) of each row of the page's table."""
    page = (ROOT / 'docs' / 'images.md').read_text()
    return [(name, int(default.replace('no limit', '0')), int(most)) for name, default, most in re.findall(r'^\| `(\w+)` \| (\d+|no limit) \| (\d+) \|', page, re.M)]


def number(text):
    """The value of a constant's definition: a number, perhaps shifted to the left."""
    value, shift = re.fullmatch(r'\D*?(?:UINT64_C\()?(\d+)u?\)?(?: << (\d+)\))?', text).groups()
    return int(value) << int(shift or 0)


def test_the_page_tells_the_programs_own_limits(nb, limits):
    assert {name for name, _, _ in documented_settings()} == set(LEAST) | {'max_bytes', 'max_ratio', 'max_seconds', 'store_max_bytes'}
    headers = ''.join((ROOT / 'src' / path).read_text() for path in ('wire/image-limits.h', 'runtime/image-settings.h'))
    constants = dict(re.findall(r'^    X\((\w+), (\w+),', headers, re.M)) | {'max_seconds': 'IMAGE_SECONDS_DEFAULT'}
    for name, default, most in documented_settings():
        assert name == 'store_max_bytes' or number(re.search(rf'^#define {constants[name]} (.*)$', headers, re.M)[1]) == default, name
        limits(**{name: most + 1})
        assert f"'{name}' must be 1 to {most}" in nb.run('import', '-', 'x').err
        limits(**{name: most})
        assert name not in nb.run('import', '-', 'x').err

# SPDX-License-Identifier: Apache-2.0
"""`nestbox template`: making saved machines before they are wanted, listing, checking and removing them."""
import os
import pathlib
import time

import pytest
from nestbox import wait_until
from test_lists import documented_keys


def listed(nb):
    return nb.json('template', 'ls', '--format', 'json')


def folder_of(nb, template):
    return nb.home / 'templates' / template['key']


def spoil(path, at=8192):
    path.chmod(0o600)
    with open(path, 'r+b') as file:
        file.seek(at)
        before = file.read(1)
        file.seek(at)
        file.write(bytes([before[0] ^ 1]))
    path.chmod(0o400)


def test_a_home_without_templates_lists_none(homes):
    nb = homes.make(env={'NESTBOX_TEMPLATES': None})
    assert listed(nb) == [] and nb.ok('template', 'ls').lines == ['KEY   IMAGE   MACHINE   DISK   SIZE   USED']
    assert nb.ok('template', 'ls', '-q').text == '' and nb.ok('template', 'verify').text == '' and nb.ok('template', 'rm', '-a').text == ''


def test_what_is_listed_is_what_there_is(built):
    of_image, of_machine = sorted(listed(built), key=lambda template: template['image_id'] is None)
    assert all(set(template) == documented_keys('Templates') for template in (of_image, of_machine))
    [image] = built.json('image', 'inspect', 'busybox')
    assert (of_image['image'], of_image['image_id'], of_image['disk_bytes'] is None) == ('busybox', image['id'], False)
    assert (of_machine['image'], of_machine['image_id'], of_machine['disk_bytes']) == (None, None, None)
    for template in of_image, of_machine:
        assert template['accelerator'] in ('tcg', 'kvm') and template['cpus'] == 1 and not template['init']
        assert template['memory_bytes'] > 256 << 20
        assert template['size_bytes'] == sum(path.stat().st_blocks * 512 for path in folder_of(built, template).iterdir())
    rows = built.ok('template', 'ls').lines
    assert rows[0].split() == ['KEY', 'IMAGE', 'MACHINE', 'DISK', 'SIZE', 'USED'] and len(rows) == 3
    assert {row.split()[0] for row in rows[1:]} == {template['key'][:12] for template in (of_image, of_machine)}
    assert set(built.ok('template', 'list', '-q', '--no-trunc').lines) == {template['key'] for template in (of_image, of_machine)}


def test_the_first_start_goes_on_from_what_was_built(filled):
    made = {path.name for path in (filled.home / 'templates').iterdir() if path.is_dir()}
    [of_image] = [template for template in listed(filled) if template['image']]
    box = filled.running_box()
    maps = pathlib.Path(f"/proc/{box.inspect()['machine_pid']}/maps").read_text()
    assert str(folder_of(filled, of_image) / 'memory') in maps
    assert {path.name for path in (filled.home / 'templates').iterdir() if path.is_dir()} == made


def test_one_that_is_there_is_left_as_it_is(filled):
    [of_image] = [template for template in listed(filled) if template['image']]
    before = (folder_of(filled, of_image) / 'memory').stat()
    assert filled.ok('template', 'build', 'busybox').text == of_image['key']
    assert filled.ok('template', 'build', 'busybox', '-m', '256m', '--cpus', '1').text == of_image['key']
    assert (folder_of(filled, of_image) / 'memory').stat().st_ino == before.st_ino and len(listed(filled)) == 2


def test_other_options_are_other_templates(filled):
    there = {template['key'] for template in listed(filled)}
    small = filled.ok('template', 'build', '--disk', '1g', 'busybox').text
    assert small not in there and filled.ok('template', 'build', '--init', 'busybox').text not in {small, *there}
    two = filled.ok('template', 'build', '--cpus', '2').text
    by_key = {template['key']: template for template in listed(filled)}
    assert len(by_key) == 5 and by_key[small]['disk_bytes'] == 1 << 30 and by_key[two]['cpus'] == 2 and by_key[two]['image_id'] is None
    assert sum(template['init'] for template in by_key.values()) == 1
    assert filled.ok('run', '--rm', '--cpus', '2', 'busybox', 'nproc').text == '2'


def test_what_failed_lately_is_tried_again_when_it_is_asked_for(unfilled):
    key = unfilled.ok('template', 'build').text
    folder = unfilled.home / 'templates'
    unfilled.ok('template', 'rm', key)
    (folder / f'{key}.failed').write_text('no room')
    unfilled.ok('run', '--rm', 'busybox', 'true')
    assert listed(unfilled) == []
    assert unfilled.ok('template', 'build').text == key and not (folder / f'{key}.failed').exists()


def test_two_that_build_the_same_one_build_it_once(unfilled):
    first, second = unfilled.popen('template', 'build'), unfilled.popen('template', 'build')
    results = [unfilled.finish(first), unfilled.finish(second)]
    assert results[0].code == results[1].code == 0 and results[0].text == results[1].text and len(listed(unfilled)) == 1


@pytest.mark.parametrize('args, status, said', [
    (['nothing-of-the-kind'], 1, 'nothing-of-the-kind'),
    (['--disk', '1g'], 1, 'none was given'),
    (['--init'], 1, 'none was given'),
    (['--cpus', '1000'], 2, 'cpus'),
    (['-m', '1m'], 2, 'memory'),
    (['a', 'b'], 2, 'b'),
])
def test_what_cannot_be_built_is_said(unfilled, args, status, said):
    result = unfilled.run('template', 'build', *args)
    assert result.code == status and said in result.err and result.text == '', result
    assert listed(unfilled) == []


def test_nothing_is_built_where_templates_are_off(unfilled):
    result = unfilled.run('template', 'build', env={'NESTBOX_TEMPLATES': 'off'})
    assert result.code == 1 and 'NESTBOX_TEMPLATES' in result.err, result
    result = unfilled.run('template', 'build', 'busybox', env={'NESTBOX_IMAGE_TEMPLATES': 'off'})
    assert result.code == 1 and 'NESTBOX_IMAGE_TEMPLATES' in result.err, result
    assert unfilled.ok('template', 'ls', '-q', env={'NESTBOX_TEMPLATES': 'off'}).text == ''


def test_an_image_s_template_that_has_no_room_is_refused(unfilled):
    result = unfilled.run('template', 'build', 'busybox', env={'NESTBOX_IMAGE_TEMPLATES': '1m'})
    assert result.code == 1 and 'room' in result.err, result
    assert [template['image'] for template in listed(unfilled)] == [None]


def test_what_is_sound_is_verified(built):
    keys = {template['key'] for template in listed(built)}
    assert set(built.ok('template', 'verify').lines) == keys
    key = keys.pop()
    assert len(built.ok('template', 'verify', key[:4], key).lines) == 2


@pytest.mark.parametrize('file', ['memory', 'state', 'disk'])
def test_a_changed_bit_is_found_wherever_it_is(filled, file):
    [of_image] = [template for template in listed(filled) if template['image']]
    path = folder_of(filled, of_image) / file
    for at in 1, path.stat().st_size // 2, path.stat().st_size - 1:
        spoil(path, at)
        result = filled.run('template', 'verify')
        assert result.code == 1 and of_image['key'][:12] in result.err and 'template rm' in result.err and len(result.lines) == 1, result
        spoil(path, at)
    assert len(filled.ok('template', 'verify').lines) == 2


def test_one_that_others_may_write_to_is_not_good(filled):
    template = listed(filled)[0]
    (folder_of(filled, template) / 'memory').chmod(0o666)
    result = filled.run('template', 'verify', template['key'])
    assert result.code == 1 and 'memory' in result.err, result


def test_removed_ones_are_gone_and_made_anew(filled):
    [of_machine] = [template for template in listed(filled) if not template['image']]
    assert filled.ok('template', 'rm', of_machine['key'][:12]).text == of_machine['key'][:12]
    assert [template['image'] for template in listed(filled)] == ['busybox']
    assert len(filled.ok('template', 'rm', '--all').lines) == 1 and listed(filled) == []
    filled.ok('run', '--rm', 'busybox', 'true')
    assert [template['key'] for template in listed(filled)] == [of_machine['key']]


def test_a_box_that_goes_on_from_a_removed_one_does_not_notice(filled):
    box = filled.running_box()
    filled.ok('template', 'rm', '-a')
    assert box.sh('dd if=/dev/urandom bs=1M count=50 2>/dev/null | wc -c; ls /bin/busybox').lines == [str(50 << 20), '/bin/busybox']
    filled.ok('stop', '-t', '0', 'box')
    filled.ok('start', 'box')
    assert box.exec('echo', 'x').text == 'x'


@pytest.mark.parametrize('verb', ['rm', 'verify'])
@pytest.mark.parametrize('key, said', [('abc', '64 hexadecimal'), ('0' * 64, 'no such'), ('0' * 65, '64 hexadecimal'), ('../../x', '64 hexadecimal'),
                                       ('ABCD', '64 hexadecimal'), ('', '64 hexadecimal')])
def test_a_key_that_is_none_is_refused(built, verb, key, said):
    result = built.run('template', verb, key)
    assert result.code == 1 and said in result.err and len(listed(built)) == 2, result


def test_rm_wants_keys_or_all(built):
    for args in [], ['-a', 'abcd']:
        result = built.run('template', 'rm', *args)
        assert result.code == 2 and '--all' in result.err and len(listed(built)) == 2, result
    assert built.ok('template', 'rm', '-f', '0' * 64).code == 0


def test_a_key_s_beginning_that_fits_two_names_none(filled):
    template = listed(filled)[0]
    other = template['key'][:8] + '0' * 56
    (folder_of(filled, template).parent / other).mkdir(mode=0o700)
    (folder_of(filled, template).parent / other / 'template').touch(mode=0o400)
    result = filled.run('template', 'rm', template['key'][:8])
    assert result.code == 1 and '2 templates' in result.err and len(listed(filled)) == 3, result
    filled.ok('template', 'rm', template['key'][:8] + template['key'][8:])
    assert len(listed(filled)) == 2


def test_an_image_s_templates_go_with_it(filled):
    filled.ok('tag', 'busybox', 'other')
    filled.ok('rmi', 'busybox')
    assert {template['image'] for template in listed(filled)} == {None, 'other:latest'}
    filled.ok('rmi', 'other')
    assert [template['image'] for template in listed(filled)] == [None]


def test_they_are_counted_in_system_df(built):
    usage = built.json('system', 'df', '--format', 'json')['templates']
    size = sum(template['size_bytes'] for template in listed(built))
    assert usage == {'count': 2, 'active': 0, 'size_bytes': size, 'reclaimable_bytes': size}


def test_used_at_tells_the_last_start(filled):
    [of_image] = [template for template in listed(filled) if template['image']]
    os.utime(folder_of(filled, of_image) / 'template', (1, 1))
    assert [t['used_at'][:4] for t in listed(filled) if t['image']] == ['1970'] and not listed(filled)[0]['image']
    filled.ok('run', '--rm', 'busybox', 'true')
    used = [t['used_at'][:4] for t in listed(filled) if t['image']]
    assert used == [time.strftime('%Y', time.gmtime())]


def test_an_interrupted_build_leaves_nothing_running(unfilled):
    build = unfilled.popen('template', 'build')
    wait_until('it is being made', lambda: list((unfilled.home / 'templates').glob('*.new')) or build.poll() is not None)
    build.terminate()
    assert unfilled.finish(build).code != 0
    assert unfilled.ok('template', 'build').text and len(listed(unfilled)) == 1


def test_a_folder_that_others_may_write_to_is_not_looked_into(homes, files):
    files.chmod(0o777)
    nb = homes.make(env={'NESTBOX_TEMPLATES': str(files)})
    for args in ['ls'], ['build'], ['verify'], ['rm', '-a'], ['rm', '0' * 64]:
        result = nb.run('template', *args)
        assert result.code == 1 and 'others may write there' in result.err, result
    assert nb.json('system', 'df', '--format', 'json')['templates']['count'] == 0 and list(files.iterdir()) == []


def test_keys_are_offered_to_be_completed(built):
    keys = {template['key'] for template in listed(built)}
    assert set(built.ok('completion', 'words', '--', 'template', 'verify', '').lines) == keys
    some = keys.pop()
    assert built.ok('completion', 'words', '--', 'template', 'rm', some[:6]).lines == [some]

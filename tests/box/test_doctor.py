# SPDX-License-Identifier: Apache-2.0
"""nestbox doctor: whether boxes can be run, and what to do about what is wrong."""
import json
import os
import sqlite3

NAMES = ['accelerator', 'qemu', 'guest kernel', 'user namespaces', 'jail', 'control groups', 'home', 'database', 'helper programs', 'templates', 'disk space']

# Good or not as the host is, and what other tests have made of the templates that all share.
OF_THE_HOST = ('accelerator', 'user namespaces', 'control groups', 'templates', 'disk space')


def checks(nestbox, code, **options):
    result = nestbox.run('doctor', '--format', 'json', **options)
    assert result.code == code, result
    return {check['name']: check for check in json.loads(result.out)}


def test_a_host_that_runs_boxes_is_found_good(anyone):
    found = checks(anyone, 0)
    assert list(found) == NAMES
    assert all(found[name]['state'] == 'ok' for name in NAMES if name not in OF_THE_HOST), found
    assert found['home']['found'] == str(anyone.home)
    for check in found.values():
        assert check['state'] != 'error' and (check['state'] == 'ok' or check['meaning'] and check['remedy']), check
    assert anyone.ok('doctor').lines[-1] == 'Boxes can be run here.'
    anyone.ok('run', '--rm', 'busybox', 'true')  # and so it is


def test_a_machine_program_that_is_missing_is_an_error_with_the_way_out(nb):
    found = checks(nb, 1, env={'NESTBOX_QEMU': None, 'PATH': '/nonexistent'})
    assert found['qemu']['state'] == 'error' and 'install qemu-system-' in found['qemu']['remedy']
    assert found['home']['state'] == 'ok'
    assert nb.run('doctor', env={'NESTBOX_QEMU': '/nope'}).lines[-1] == 'Boxes cannot be run here.'


def test_a_guest_bundle_that_is_missing_is_an_error(nb, files):
    found = checks(nb, 1, env={'NESTBOX_GUEST_DIR': str(files)})
    assert found['guest kernel']['state'] == 'error' and str(files) in found['guest kernel']['found']


def test_a_home_that_cannot_be_opened_is_one_error_among_the_checks(nb, files):
    (files / 'file').touch()
    found = checks(nb, 1, env={'NESTBOX_HOME': str(files / 'file')})
    assert found['home']['state'] == 'error' and found['qemu']['state'] == 'ok'
    assert 'database' not in found and 'disk space' not in found


def test_a_damaged_database_is_found(nb):
    nb.ok('create', '--name', 'box', 'busybox')
    path = nb.home / 'nestbox.db'
    with sqlite3.connect(path) as database:
        database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        page_size = database.execute('PRAGMA page_size').fetchone()[0]
        root = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'boxes_by_image'").fetchone()[0]
    database.close()
    with open(path, 'r+b') as file:
        file.seek((root - 1) * page_size)
        file.write(os.urandom(64))
    found = checks(nb, 1)
    assert 'error' in (found['home']['state'], found.get('database', {}).get('state'))
    with open(path, 'r+b') as file:
        file.truncate(0)  # what the test's clean-up can open again
    for name in ('nestbox.db-wal', 'nestbox.db-shm'):
        (nb.home / name).unlink(missing_ok=True)


def test_a_newer_home_is_said_to_be_one(nb):
    nb.ok('ps')
    with sqlite3.connect(nb.home / 'nestbox.db') as database:
        version = database.execute('PRAGMA user_version').fetchone()[0]
        database.execute(f'PRAGMA user_version = {version + 1}')
    database.close()
    assert 'newer Nestbox' in checks(nb, 1)['home']['found']
    with sqlite3.connect(nb.home / 'nestbox.db') as database:
        database.execute(f'PRAGMA user_version = {version}')
    database.close()

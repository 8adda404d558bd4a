# SPDX-License-Identifier: Apache-2.0
"""Ten images say the same of themselves in a box as in a container of podman's: environment, identity, working directory, root folder."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

import layout
from layout import Tar

pytestmark = [pytest.mark.tools('podman', 'runc', 'skopeo'),
              pytest.mark.skipif(os.geteuid() != 0, reason='podman as an ordinary user needs subordinate ids, which not everybody has')]

SHOW = 'env | sort; id; pwd; ls -lan /'

# What an engine makes itself, and so has sizes, link counts and times of its own.
# (podman makes /run for its /run/.containerenv; these images have one.)
MADE = ('.', '..', 'dev', 'proc', 'sys', 'run', 'etc')
# container: podman's mark. TERM: podman sets it without a terminal too, docker does not. HOSTNAME: the id.
OWN_VARIABLES = ('HOSTNAME=', 'container=', 'TERM=')
# podman adds a line to /etc/passwd for a user that has only a number, docker does not. And its root, where no user is named, is in no group,
# docker's is in its own.
ADDED_NAME = re.compile(r'(\b(\d+))\(\2\)')


def filtered(text):
    """What both must have in common."""
    lines = []
    for line in text.splitlines():
        entry = re.match(r'([-bcdlps]\S{9})[.+]?\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\S+\s+\S+\s+\S+)\s+(.*)$', line)
        if line.startswith(OWN_VARIABLES) or line.startswith('total '):
            continue
        if entry and entry[7].split(' ')[0] in MADE:
            line = ' '.join((entry[1], entry[3], entry[4], entry[7]))
        elif entry:
            line = ' '.join(entry.groups())
        if line.startswith('uid='):
            line = ADDED_NAME.sub(r'\1', line).replace('uid=0(root) gid=0(root) groups=0(root)', 'uid=0(root) gid=0(root)')
        lines.append(line)
    return lines


@pytest.fixture(scope='module')
def engine():
    """podman with a storage of its own: run('docker-archive:FILE', 'sh', '-c', ...)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='podman-'))  # podman takes paths of at most 50 characters
    base = ['podman', '--root', str(folder / 'root'), '--runroot', str(folder / 'run'), '--tmpdir', str(folder / 'tmp'), '--storage-driver', 'vfs',
            '--runtime', 'runc', '--cgroup-manager', 'cgroupfs']

    def run(image, *command):
        loaded = subprocess.run([*base, 'pull', '-q', image], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[-1]
        done = subprocess.run([*base, 'run', '--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', loaded,
                               *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode(errors='backslashreplace')
    yield run
    subprocess.run([*base, 'rmi', '-a', '-f'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    subprocess.run(['umount', folder / 'root'], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder, ignore_errors=True)


ODD_ROOT = (Tar().folder('./', mode=0o1755).folder('run').folder('closed', mode=0o700).folder('shared', mode=0o3777, uid=5, gid=6).symlink('link', 'nowhere').file('top', 'x', mode=0o4755)
            .file('old', 'x', mtime=86400).file('owned', 'x', uid=2**31 - 2, gid=70000).bytes())

IMAGES = {
    'nothing': {},
    'environment': {'Env': ['A=1', 'B=with space', 'EMPTY=', 'C=a=b', 'PATH=/bin:/odd']},
    'numeric user': {'User': '4321'},
    'numeric user and group': {'User': '4321:8765'},
    'named user': {'User': 'web'},
    'named user, other group': {'User': 'web:extra'},
    'working directory': {'WorkingDir': '/tmp'},
    'working directory that is not there': {'WorkingDir': '/made/for/it'},
    'entrypoint': {'Entrypoint': ['env', 'FROM=entrypoint'], 'Cmd': ['false']},
    # Not with a directory that is to be made: podman gives that to the user, docker and we to root.
    'everything': {'Env': ['HOME=/elsewhere', 'X=y'], 'User': '1234', 'WorkingDir': '/shared', 'Entrypoint': ['env']},
}


@pytest.mark.parametrize('config', IMAGES.values(), ids=IMAGES.keys())
def test_an_image_is_run_as_podman_runs_it(nb, oci, files, engine, busybox_layer, config):
    oci.image('x', [busybox_layer, ODD_ROOT], **config)
    archive = files / 'image.tar'
    subprocess.run(['skopeo', 'copy', '--quiet', '--insecure-policy', f'oci:{oci.path}:x', f'docker-archive:{archive}:localhost/x:1'], check=True)
    ours = nb.run('run', '--rm', f'docker-archive:{archive}', 'sh', '-c', SHOW)
    theirs = engine(f'docker-archive:{archive}', 'sh', '-c', SHOW)
    assert ours.code == 0 and len(filtered(theirs)) > 15, (ours, theirs)
    a, b = filtered(ours.out.decode(errors='backslashreplace')), filtered(theirs)
    assert a == b, set(a) ^ set(b)

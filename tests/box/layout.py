# SPDX-License-Identifier: Apache-2.0
"""Makes small images by hand: OCI layouts (OCI image-spec, image-layout.md) and archives as `docker save` writes them."""
import gzip
import hashlib
import io
import json
import pathlib
import platform
import tarfile

ARCHITECTURE = {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()]
BUSYBOX_LINKS = ('sh', 'cat', 'echo', 'env', 'id', 'ls', 'pwd', 'sleep', 'stat', 'test', 'true')


class Tar:
    """A tar in the making: Tar().file('a', 'text').folder('b').bytes()."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode='w', format=tarfile.PAX_FORMAT)

    def add(self, name, kind, data=b'', mode=0o644, **fields):
        entry = tarfile.TarInfo(name)
        entry.type, entry.size, entry.mode = kind, len(data), mode
        for field, value in fields.items():
            setattr(entry, field, value)
        self.tar.addfile(entry, io.BytesIO(data))
        return self

    def file(self, name, data=b'', **fields):
        return self.add(name, tarfile.REGTYPE, data.encode() if isinstance(data, str) else data, **fields)

    def folder(self, name, mode=0o755, **fields):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **fields)

    def symlink(self, name, target, **fields):
        return self.add(name, tarfile.SYMTYPE, linkname=target, **fields)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def busybox_of(nb):
    """The program that the built-in image is made of."""
    bundle = pathlib.Path(json.loads(nb.ok('info', '--format', 'json').out)['kernel']).parent
    with tarfile.open(bundle / 'busybox.tar') as tar:
        return tar.extractfile('bin/busybox').read()


def busybox_tar(busybox):
    """A root file system with the busybox given as bytes, some of its applets, and two users."""
    tar = Tar().folder('bin').folder('etc').folder('tmp', mode=0o1777).file('bin/busybox', busybox, mode=0o755)
    for applet in BUSYBOX_LINKS:
        tar.symlink(f'bin/{applet}', 'busybox')
    tar.file('etc/passwd', 'root:x:0:0::/root:/bin/sh\nweb:x:1234:5678::/srv/web:/bin/sh\n')
    return tar.file('etc/group', 'root:x:0:\nweb:x:5678:\nextra:x:42:web\n')


def digest_of(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


class Layout:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        (self.path / 'blobs' / 'sha256').mkdir(parents=True)
        (self.path / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifests = []

    def blob_path(self, digest):
        return self.path / 'blobs' / 'sha256' / digest.removeprefix('sha256:')

    def blob(self, data, kind):
        """Adds it and returns its descriptor."""
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = digest_of(data)
        self.blob_path(digest).write_bytes(data)
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': digest, 'size': len(data)}

    def image(self, tag, layers, architecture=ARCHITECTURE, **config):
        """Adds an image of these layers (tars as bytes); config's words are the specification's: Entrypoint, Cmd, Env, User ..."""
        descriptors = [self.blob(gzip.compress(layer, mtime=0), 'layer.v1.tar+gzip') for layer in layers]
        described = self.blob({'architecture': architecture, 'os': 'linux', 'config': config,
                               'rootfs': {'type': 'layers', 'diff_ids': [digest_of(layer) for layer in layers]}}, 'config.v1+json')
        manifest = self.blob({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': described,
                              'layers': descriptors}, 'manifest.v1+json')
        self.manifests.append(manifest | {'annotations': {'org.opencontainers.image.ref.name': tag}})
        (self.path / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': self.manifests}))
        return {'config': described, 'manifest': manifest, 'layers': descriptors}

    def archive(self, path):
        """The same as one file."""
        with tarfile.open(path, 'w') as tar:
            for entry in sorted(self.path.rglob('*')):
                tar.add(entry, entry.relative_to(self.path), recursive=False)
        return path


def docker_archive(path, name, layers, architecture=ARCHITECTURE, **config):
    """Writes what `docker save` would."""
    described = json.dumps({'architecture': architecture, 'os': 'linux', 'config': config,
                            'rootfs': {'type': 'layers', 'diff_ids': [digest_of(layer) for layer in layers]}}).encode()
    config_name = digest_of(described).removeprefix('sha256:') + '.json'
    tar = Tar().file(config_name, described)
    names = []
    for number, layer in enumerate(layers):
        names.append(f'{number}/layer.tar')
        tar.folder(str(number)).file(names[-1], layer)
    tar.file('manifest.json', json.dumps([{'Config': config_name, 'RepoTags': [name], 'Layers': names}]))
    pathlib.Path(path).write_bytes(tar.bytes())
    return path

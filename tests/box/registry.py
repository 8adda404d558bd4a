# SPDX-License-Identifier: Apache-2.0
"""Registries on 127.0.0.1: Debian's docker-registry, and one of our own that misbehaves as it is told to."""
import base64
import http.client
import http.server
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

from nestbox import PATIENCE_S, SLOWNESS

ALGORITHM_OF = re.compile(r'^/v2/(?P<repository>.+)/(?P<kind>manifests|blobs)/(?P<name>[^/]+)$')


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def basic(user, password):
    return 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode()


class DockerRegistry:
    """docker-registry serve, until stop(). users: {name: password}; tls: (certificate, key)."""

    def __init__(self, folder, users=None, tls=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.host = f'127.0.0.1:{self.port}'
        self.scheme = 'https' if tls else 'http'
        config = ['version: 0.1', f'storage: {{filesystem: {{rootdirectory: "{self.folder}/data"}}}}', 'http:', f'  addr: {self.host}']
        if tls:
            config.append(f'  tls: {{certificate: "{tls[0]}", key: "{tls[1]}"}}')
        if users:
            lines = [subprocess.run(['htpasswd', '-nbB', *user], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
                     for user in users.items()]
            (self.folder / 'users').write_text('\n'.join(lines) + '\n')
            config.append(f'auth: {{htpasswd: {{realm: test, path: "{self.folder}/users"}}}}')
        (self.folder / 'config.yml').write_text('\n'.join(config) + '\n')
        with open(self.folder / 'log', 'wb') as log:
            self.process = subprocess.Popen(['docker-registry', 'serve', str(self.folder / 'config.yml')], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        self.wait_for_it()

    def wait_for_it(self):
        deadline = time.monotonic() + PATIENCE_S * SLOWNESS
        while True:
            with socket.socket() as client:
                if client.connect_ex(('127.0.0.1', self.port)) == 0:
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / 'log').read_text()
            time.sleep(0.05)

    def push(self, source, name, credentials=None):
        """Copies an image as skopeo names it, say 'oci:DIR:TAG'."""
        words = ['skopeo', 'copy', '--quiet', '--all', '--dest-tls-verify=false']
        if credentials:
            words.append(f'--dest-creds={credentials[0]}:{credentials[1]}')
        subprocess.run([*words, source, f'docker://{self.host}/{name}'], check=True, stdout=subprocess.DEVNULL)
        return f'{self.host}/{name}'

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


class Answer(Exception):
    """What a script has the registry say instead of the truth."""

    def __init__(self, status, body=b'', headers=None, cut=None, keep_open=False):
        super().__init__(status)
        self.status, self.body, self.headers = status, body if isinstance(body, bytes) else body.encode(), headers or {}
        self.cut = cut              # so many bytes of the body, and then the connection ends
        self.keep_open = keep_open  # and then nothing, without an end


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self):
        registry = self.server.registry
        with registry.lock:
            registry.requests.append((self.command, self.path, dict(self.headers)))
        try:
            raise registry.answer_to(self)
        except Answer as answer:
            self.say(answer)

    do_GET = do_HEAD = do_POST = answer

    def say(self, answer):
        try:
            self.send_response(answer.status)
            for name, value in {'Content-Length': str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body if answer.cut is None else answer.body[:answer.cut])
            self.wfile.flush()
            if answer.keep_open:
                self.server.registry.stopping.wait(PATIENCE_S)
        except ConnectionError:
            pass
        self.close_connection = self.close_connection or answer.cut is not None or answer.keep_open


class FakeRegistry:
    """Serves a Layout under any repository, and notes who asked for what. script(request) may raise an Answer first.

    Used as a context manager; its host is a free port of 127.0.0.1.
    """

    def __init__(self, layout, script=None):
        self.layout, self.script = layout, script or (lambda request: None)
        self.requests, self.lock, self.stopping = [], threading.Lock(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.server.registry = self
        self.host = f'127.0.0.1:{self.server.server_address[1]}'
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer_to(self, request):
        self.script(request)
        if request.path == '/v2/':
            return Answer(200, '{}')
        parts = ALGORITHM_OF.match(request.path)
        if not parts:
            return Answer(404, error('UNSUPPORTED', 'no such address'))
        if parts['kind'] == 'manifests':
            return self.manifest(parts['name'])
        path = self.layout.blob_path(parts['name'])
        if not path.exists():
            return Answer(404, error('BLOB_UNKNOWN', 'blob unknown to registry'))
        return ranged(request, path.read_bytes())

    def manifest(self, name):
        if name.startswith('sha256:'):
            path = self.layout.blob_path(name)
            if not path.exists():
                return Answer(404, error('MANIFEST_UNKNOWN', 'manifest unknown'))
        else:
            found = [manifest for manifest in self.layout.manifests
                     if manifest['annotations']['org.opencontainers.image.ref.name'] == name]
            if not found:
                return Answer(404, error('MANIFEST_UNKNOWN', 'manifest unknown'))
            path = self.layout.blob_path(found[-1]['digest'])
        body = path.read_bytes()
        return Answer(200, body, {'Content-Type': json.loads(body).get('mediaType', 'application/json')})

    def blobs_asked_for(self):
        with self.lock:
            return [path.rsplit('/', 1)[1] for _, path, _ in self.requests if '/blobs/' in path]

    def headers_of(self, part):
        """Of the requests whose path holds it."""
        with self.lock:
            return [headers for _, path, headers in self.requests if part in path]


def error(code, message):
    return json.dumps({'errors': [{'code': code, 'message': message}]})


def ranged(request, body):
    """An answer to a request for all of a body, or for the rest of it."""
    wanted = re.match(r'bytes=(\d+)-$', request.headers.get('Range', ''))
    if not wanted:
        return Answer(200, body)
    first = int(wanted[1])
    if first >= len(body):
        return Answer(416)
    return Answer(206, body[first:], {'Content-Range': f'bytes {first}-{len(body) - 1}/{len(body)}'})


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """Passes on what it is asked for: GET and HEAD of whole addresses, and tunnels (RFC 9110, 9.3.6)."""
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def reach(self, host):
        """A connection to where a host's name really leads."""
        self.server.proxy.asked.append(host)
        address, port = self.server.proxy.hosts.get(host, host).rsplit(':', 1)
        return socket.create_connection((address, int(port)), timeout=PATIENCE_S)

    def pass_on(self):
        host, path = re.match(r'http://([^/]+)(/.*)', self.path).groups()
        client = http.client.HTTPConnection(host)
        client.sock = self.reach(host)
        client.request(self.command, path, headers=dict(self.headers) | {'Connection': 'close'})
        answer = client.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ('content-length', 'transfer-encoding', 'connection'):
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = pass_on

    def do_CONNECT(self):
        there = self.reach(self.path)
        self.send_response(200)
        self.end_headers()
        with there:
            upwards = threading.Thread(target=copy_until_end, args=(self.connection, there))
            upwards.start()
            copy_until_end(there, self.connection)
            upwards.join()
        self.close_connection = True


def copy_until_end(source, destination):
    try:
        while data := source.recv(1 << 16):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Proxy:
    """An HTTP proxy on 127.0.0.1, which knows some hosts by names of its own: {'registry.test:80': '127.0.0.1:4711'}."""

    def __init__(self, hosts=None):
        self.hosts, self.asked = hosts or {}, []
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), ProxyHandler)
        self.server.daemon_threads = True
        self.server.proxy = self
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}'
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

# SPDX-License-Identifier: Apache-2.0
"""Images from registries: real ones, and those that slow down, break off, lie, or want to know who is asking."""
import concurrent.futures
import json
import os
import signal
import stat
import subprocess
import time

import pytest

import layout
from layout import Tar
from nestbox import wait_until
from registry import Answer, DockerRegistry, FakeRegistry, Proxy, basic, error, free_port

real_registry = pytest.mark.tools('docker-registry', 'skopeo', 'htpasswd')


@pytest.fixture
def image(oci, busybox_layer):
    """What a registry has: busybox and a layer of a megabyte that cannot be compressed, as 'team/app:1'."""
    more = Tar().folder('data').file('data/random', os.urandom(1 << 20)).file('data/name', 'app').bytes()
    return oci.image('1', [busybox_layer, more], Cmd=['cat', '/data/name'])


@pytest.fixture
def serve(homes, oci):
    """Starts fake registries, plain HTTP allowed: serve(script).host."""
    started = []

    def start(script=None, **settings):
        registry = FakeRegistry(oci, script).__enter__()
        started.append(registry)
        allow(homes, *started, **settings)
        return registry
    yield start
    for registry in started:
        registry.__exit__()


@pytest.fixture
def docker_registry(homes, files):
    started = []

    def start(**options):
        started.append(DockerRegistry(files / f'registry{len(started)}', **options))
        return started[-1]
    yield start
    for registry in started:
        registry.stop()


def allow(homes, *registries, **settings):
    homes.set_registries(registries={registry.host: {'plain_http': True} for registry in registries}, **settings)


def blobs(nb):
    return [path for path in nb.files() if path.startswith('layout/blobs/') and 'sha' in path.rsplit('/', 1)[0] and len(path) > 70]


def parts(nb):
    return [path for path in nb.files() if path.startswith('layout/parts/')]


def refused(homes, nb, result, *words, code=1):
    """One clear line, perhaps a hint; no image, nothing that could be taken for one, no process."""
    lines = [line for line in result.err.splitlines() if line != 'waiting for the registry']
    assert (result.code, result.out) == (code, b'') and 1 <= len(lines) <= 2, result
    assert all(word in result.err for word in words), (words, result)
    assert nb.json('images', '--format', 'json') == [], result
    assert not [path for path in nb.files() if path.endswith('.ext4') or '/.new-' in path]
    wait_until('the workers are gone', lambda: homes.new_processes() == [])


def answers_once(registry_part, *answers):
    """A script that gives these answers to the first requests for what holds registry_part, and then the truth."""
    left = list(answers)

    def script(request):
        if registry_part in request.path and left:
            raise left.pop(0)
    return script


# ------------------------------------------------------------------------------------------------------------- what is right

@real_registry
def test_s44_an_image_of_a_real_registry_runs(anyone, homes, docker_registry, oci, image):
    registry = docker_registry()
    allow(homes, registry)
    name = registry.push(f'oci:{oci.path}:1', 'team/app:1')
    pulled = anyone.ok('pull', name)
    assert pulled.text == image['config']['digest']
    assert anyone.ok('run', '--rm', name).text == 'app'
    assert [(i['name'], i['id']) for i in anyone.json('images', '--format', 'json')] == [(name, pulled.text)]


@real_registry
def test_s44_docker_s_own_formats(nb, homes, docker_registry, oci, image):
    registry = docker_registry()
    allow(homes, registry)
    subprocess.run(['skopeo', 'copy', '--quiet', '--format', 'v2s2', '--dest-tls-verify=false', f'oci:{oci.path}:1',
                    f'docker://{registry.host}/app'], check=True)
    assert nb.ok('run', '--rm', f'{registry.host}/app').text == 'app'  # no tag: latest


def test_run_pulls_what_is_missing_and_asks_no_more(nb, serve, image):
    registry = serve()
    name = f'{registry.host}/team/app:1'
    assert nb.ok('run', '--rm', name).text == 'app'
    asked = len(registry.requests)
    assert nb.ok('run', '--rm', name).text == 'app'
    assert len(registry.requests) == asked


def test_pull_policies(nb, homes, serve, oci, image, busybox_layer):
    registry = serve()
    name = f'{registry.host}/app:1'
    result = nb.run('run', '--rm', '--pull', 'never', name)
    assert result.code == 125 and registry.requests == [] and 'is not here' in result.err, result
    assert nb.ok('run', '--rm', name).text == 'app'
    oci.image('1', [busybox_layer, Tar().folder('data').file('data/name', 'moved').bytes()], Cmd=['cat', '/data/name'])
    assert nb.ok('run', '--rm', name).text == 'app'
    assert nb.ok('run', '--rm', '--pull', 'always', name).text == 'moved'
    assert nb.ok('run', '--rm', '--pull', 'never', name).text == 'moved'


def test_layers_that_are_here_are_not_fetched_again(nb, serve, oci, image, busybox_layer):
    registry = serve()
    other = oci.image('2', [busybox_layer, Tar().file('two', 'two').bytes()], Cmd=['cat', '/two'])
    nb.ok('pull', f'{registry.host}/app:1')
    before = set(registry.blobs_asked_for())
    assert nb.ok('run', '--rm', f'{registry.host}/app:2').text == 'two'
    assert set(registry.blobs_asked_for()) - before == {other['config']['digest'], other['layers'][1]['digest']}
    nb.ok('pull', f'{registry.host}/app:1')
    assert len(registry.blobs_asked_for()) == len(set(registry.blobs_asked_for()))


def test_one_image_under_two_names_is_fetched_and_made_once(nb, serve, oci, image):
    registry = serve()
    first = nb.ok('pull', f'{registry.host}/app:1').text
    assert nb.ok('pull', f'{registry.host}/other/name:1').text == first
    assert len(registry.blobs_asked_for()) == 3
    assert len([path for path in nb.files() if path.endswith('.ext4')]) == 1


def test_the_same_layer_twice(nb, serve, oci, busybox_layer):
    twice = Tar().file('once', 'once').bytes()
    oci.image('twice', [busybox_layer, twice, twice], Cmd=['cat', '/once'])
    assert nb.ok('run', '--rm', f'{serve().host}/app:twice').text == 'once'


def test_names_that_mean_the_same(nb, serve, image):
    registry = serve()
    name = f'{registry.host}/app'
    nb.ok('pull', f'{name}:1')
    assert nb.json('image', 'inspect', f'{name}:1')[0]['name'] == f'{name}:1'
    assert nb.run('image', 'inspect', name).code == 1  # that is :latest
    nb.ok('rmi', f'{name}:1')
    assert nb.json('images', '--format', 'json') == []


def test_an_unqualified_name_is_searched_for(nb, homes, serve, image):
    empty, full = serve(answers_once('', *[Answer(404, error('MANIFEST_UNKNOWN', 'manifest unknown'))] * 9)), serve()
    allow(homes, empty, full, unqualified_search=[empty.host, full.host])
    assert nb.ok('run', '--rm', 'app:1').text == 'app'
    assert empty.requests and [path for _, path, _ in full.requests][0] == '/v2/app/manifests/1'


def test_a_mirror_is_asked_first_and_the_registry_when_it_fails(nb, homes, serve, image):
    mirror, registry = serve(), serve()
    homes.set_registries(registries={registry.host: {'plain_http': True, 'mirrors': [mirror.host]}, mirror.host: {'plain_http': True}})
    nb.ok('pull', f'{registry.host}/app:1')
    assert registry.requests == [] and mirror.requests
    mirror.script = answers_once('', *[Answer(404)] * 9)
    nb.ok('pull', f'{registry.host}/app:1')
    assert registry.requests


def test_s44_a_pinned_digest(nb, homes, serve, image):
    registry = serve()
    digest = image['manifest']['digest']
    assert nb.ok('run', '--rm', f'{registry.host}/app@{digest}').text == 'app'
    assert nb.ok('run', '--rm', f'{registry.host}/app:whatever@{digest}').text == 'app'


# ---------------------------------------------------------------------------------------------------------------- platforms

@pytest.fixture
def platforms(oci, busybox_layer):
    """An index with this host's architecture, another, and one with a variant."""
    made = []
    for architecture, variant in ((layout.ARCHITECTURE, None), ('riscv64', None), ('arm', 'v6'), ('arm', 'v7')):
        tar = Tar().file('who', f'{architecture}{variant or ""}').bytes()
        parts_of = oci.image('unused', [busybox_layer, tar], architecture=architecture, Cmd=['cat', '/who'])
        platform = {'os': 'linux', 'architecture': architecture} | ({'variant': variant} if variant else {})
        made.append(parts_of['manifest'] | {'platform': platform})
    index = oci.blob({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': made}, 'index.v1+json')
    oci.manifests.append(index | {'annotations': {'org.opencontainers.image.ref.name': 'all'}})
    return {tuple(m['platform'].values()): m for m in made}


def test_s44_an_index_is_searched_for_the_host_s_platform(nb, serve, platforms):
    assert nb.ok('run', '--rm', f'{serve().host}/app:all').text == layout.ARCHITECTURE


def test_s44_another_platform_is_kept_and_not_run(nb, serve, platforms):
    registry = serve()
    name = f'{registry.host}/app:all'
    nb.ok('pull', '--platform', 'linux/riscv64', name)
    assert nb.json('image', 'inspect', name)[0]['architecture'] == 'riscv64'
    result = nb.run('create', '--pull', 'never', name)
    assert result.code == 1 and 'riscv64' in result.err and nb.boxes() == [], result


def test_s44_variants(nb, serve, platforms):
    registry = serve()
    nb.ok('pull', '--platform', 'linux/arm/v7', f'{registry.host}/app:all')
    assert f'/manifests/{platforms["linux", "arm", "v7"]["digest"]}' in registry.requests[1][1]


def test_s44_no_such_platform_says_which_there_are(homes, nb, serve, platforms):
    result = nb.run('pull', '--platform', 'linux/s390x', f'{serve().host}/app:all')
    refused(homes, nb, result, 's390x', f'linux/{layout.ARCHITECTURE}', 'linux/riscv64', 'linux/arm/v7')


@pytest.mark.parametrize('platform', ['linux/', '/', 'linux/a/b/c', 'windows/amd64/x/y'])
def test_a_platform_that_is_none(homes, nb, serve, image, platform):
    refused(homes, nb, nb.run('pull', '--platform', platform, f'{serve().host}/app:1'), platform)


# ------------------------------------------------------------------------------------------------------------------- logins

@pytest.fixture
def private(homes, docker_registry, oci, image):
    registry = docker_registry(users={'me': 'se:cret'})
    allow(homes, registry)
    registry.push(f'oci:{oci.path}:1', 'team/app:1', credentials=('me', 'se:cret'))
    return registry


def log_in(nb, registry, password, user='me'):
    return nb.run('login', '-u', user, '--password-stdin', registry.host, input=password.encode())


@real_registry
def test_s44_basic_authentication(homes, nb, private):
    name = f'{private.host}/team/app:1'
    refused(homes, nb, nb.run('pull', name), private.host, f'hint: nestbox login {private.host}')
    wrong = log_in(nb, private, 'wrong')
    assert wrong.code == 1 and '401' in wrong.err and not (nb.home / 'auth.json').exists(), wrong
    assert log_in(nb, private, 'se:cret\n').text == 'Login Succeeded'
    assert stat.S_IMODE((nb.home / 'auth.json').stat().st_mode) == 0o600
    assert nb.ok('run', '--rm', name).text == 'app'
    nb.ok('logout', private.host)
    again = nb.run('logout', private.host)
    assert again.code == 1 and 'no login' in again.err, again
    assert nb.run('pull', name).code == 1


def auth_entry(user='me', password='se:cret'):
    return {'auth': basic(user, password).split()[1]}


@real_registry
@pytest.mark.parametrize('place,key', [
    ('.docker/config.json', '{host}'),
    ('.docker/config.json', 'http://{host}/v1/'),
    ('.config/containers/auth.json', '{host}'),
    ('.config/containers/auth.json', '{host}/team/app'),
])
def test_s44_logins_of_docker_and_podman(homes, nb, private, place, key):
    home = homes.folder / 'somebody'
    file = home / place
    file.parent.mkdir(parents=True)
    more = {f'{private.host}/team': auth_entry(password='wrong')} if key.endswith('app') else {}
    file.write_text(json.dumps({'auths': {key.format(host=private.host): auth_entry()} | more}))
    nb.ok('pull', f'{private.host}/team/app:1', env={'HOME': str(home)})


@real_registry
def test_s44_a_credential_helper(homes, nb, private):
    home = homes.folder / 'somebody'
    (home / 'bin').mkdir(parents=True)
    helper = home / 'bin' / 'docker-credential-test'
    helper.write_text('#!/bin/sh\n[ "$1" = get ] && host=$(cat) && printf \'{"ServerURL":"%s","Username":"me","Secret":"%s"}\' '
                      '"$host" "$SECRET_OF_TEST"\n')
    helper.chmod(0o755)
    (home / '.docker').mkdir()
    (home / '.docker' / 'config.json').write_text(json.dumps({'credHelpers': {private.host: 'test'}}))
    env = {'HOME': str(home), 'PATH': f'{home}/bin:{os.environ["PATH"]}'}
    nb.ok('pull', f'{private.host}/team/app:1', env=env | {'SECRET_OF_TEST': 'se:cret'})
    result = nb.run('pull', f'{private.host}/team/app:1', env=env | {'PATH': '/usr/bin'})
    assert result.code == 1 and 'docker-credential-test' in result.err, result


@real_registry
@pytest.mark.parametrize('text', ['{', '[]', '{"auths": {"HOST": {"auth": "no base 64"}}}'])
def test_a_damaged_file_of_logins_is_named(homes, nb, private, text):
    home = homes.folder / 'somebody'
    (home / '.docker').mkdir(parents=True)
    (home / '.docker' / 'config.json').write_text(text.replace('HOST', private.host))
    result = nb.run('pull', f'{private.host}/team/app:1', env={'HOME': str(home)})
    assert result.code == 1 and len(result.err.splitlines()) <= 2, result
    assert 'config.json' in result.err or text == '[]', result


class TokenService:
    """A script for a registry that wants tokens, and gives them at /token to who may have one."""

    def __init__(self, user=None, lifetime=10**6):
        self.registry, self.user, self.lifetime, self.tokens, self.asked = None, user, lifetime, {}, []

    def __call__(self, request):
        if request.path.startswith('/token'):
            self.asked.append(request.path)
            if self.user and request.headers.get('Authorization') != basic(*self.user):
                raise Answer(401, error('UNAUTHORIZED', 'incorrect username or password'))
            token = f'token-{len(self.tokens)}'
            self.tokens[f'Bearer {token}'] = self.lifetime
            raise Answer(200, json.dumps({'token': token}))
        uses = self.tokens.get(request.headers.get('Authorization'), 0)
        if uses > 0:
            self.tokens[request.headers['Authorization']] = uses - 1
            return
        challenge = f'Bearer realm="http://{self.registry.host}/token",service="test, with a comma",scope="repository:app:pull"'
        raise Answer(401, error('UNAUTHORIZED', 'authentication required'), {'WWW-Authenticate': challenge})


def test_s44_bearer_tokens(nb, serve, image):
    service = TokenService()
    service.registry = serve(service)
    assert nb.ok('run', '--rm', f'{service.registry.host}/app:1').text == 'app'
    assert service.asked == ['/token?service=test%2C%20with%20a%20comma&scope=repository%3Aapp%3Apull']


def test_s44_a_token_that_expires_is_replaced(nb, serve, image):
    service = TokenService(lifetime=2)
    service.registry = serve(service)
    nb.ok('pull', f'{service.registry.host}/app:1')
    assert len(service.asked) > 1


def test_s44_bearer_tokens_for_a_user(homes, nb, serve, image):
    service = TokenService(user=('me', 'secret'))
    service.registry = serve(service)
    refused(homes, nb, nb.run('pull', f'{service.registry.host}/app:1'), '401', 'incorrect username or password', 'nestbox login')
    assert log_in(nb, service.registry, 'wrong').code == 1
    assert log_in(nb, service.registry, 'secret').code == 0
    nb.ok('pull', f'{service.registry.host}/app:1')


@pytest.mark.parametrize('answer', [Answer(200, '{}'), Answer(200, '{"token": "a\\r\\nX-Evil: 1"}'), Answer(200, '<html>'), Answer(200, 'x' * 300000)])
def test_a_token_service_that_sends_no_token(homes, nb, serve, image, answer):
    service = TokenService()
    registry = serve(lambda request: (_ for _ in ()).throw(answer) if request.path.startswith('/token') else service(request))
    service.registry = registry
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), registry.host)


def test_a_registry_that_never_has_enough_of_asking(homes, nb, serve, image):
    service = TokenService(lifetime=0)
    service.registry = serve(service)
    refused(homes, nb, nb.run('pull', f'{service.registry.host}/app:1'), '401')
    assert len(service.asked) < 5


# ---------------------------------------------------------------------------------------------------------------------- TLS

@pytest.fixture
def certificate(files):
    """Of an authority that nobody knows, for 127.0.0.1."""
    key, pem = files / 'key.pem', files / 'certificate.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out',
                    pem, '-days', '2', '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, stderr=subprocess.DEVNULL)
    return pem, key


@real_registry
def test_s44_a_private_authority_by_configuration(homes, nb, docker_registry, oci, image, certificate):
    registry = docker_registry(tls=certificate)
    name = registry.push(f'oci:{oci.path}:1', 'app:1')
    refused(homes, nb, nb.run('pull', name), registry.host, 'certificate')
    homes.set_registries(registries={registry.host: {'ca_file': str(certificate[0])}})
    assert nb.ok('run', '--rm', name).text == 'app'
    homes.set_registries(registries={registry.host: {'skip_verify': True}})
    nb.ok('pull', name)


def test_s44_plain_http_only_by_configuration(homes, nb, serve, image):
    registry = serve()
    homes.set_registries()
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), registry.host, '\nhint: plain HTTP')
    assert registry.requests == []


def test_s44_a_proxy_of_the_environment(homes, nb, serve, oci, image):
    """The registry's name leads somewhere by way of the proxy alone."""
    registry = serve()
    homes.set_registries(registries={'registry.test:8080': {'plain_http': True}, registry.host: {'plain_http': True}})
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1', env={'http_proxy': f'http://127.0.0.1:{free_port()}'}), registry.host)
    with Proxy({'registry.test:8080': registry.host}) as proxy:
        assert nb.ok('run', '--rm', 'registry.test:8080/app:1', env={'http_proxy': proxy.url}).text == 'app'
        assert set(proxy.asked) == {'registry.test:8080'}
        proxy.asked.clear()
        nb.ok('pull', f'{registry.host}/other:1', env={'http_proxy': proxy.url, 'no_proxy': '127.0.0.1'})
        assert proxy.asked == []


@real_registry
def test_s44_a_proxy_s_tunnel_to_a_registry_with_tls(homes, nb, docker_registry, oci, image, certificate):
    registry = docker_registry(tls=certificate)
    name = registry.push(f'oci:{oci.path}:1', 'app:1')
    homes.set_registries(registries={registry.host: {'ca_file': str(certificate[0])}})
    with Proxy() as proxy:
        assert nb.ok('run', '--rm', name, env={'HTTPS_PROXY': proxy.url}).text == 'app'
        assert set(proxy.asked) == {registry.host}


@pytest.mark.parametrize('text,word', [
    ('{', 'registries.json'), ('[]', 'object'), ('{"nonsense": 1}', 'nonsense'), ('{"registries": {"a": {"plain_http": 1}}}', 'plain_http'),
    ('{"registries": {"a/b": {}}}', 'a/b'), ('{"registries": {"a": {"ca_file": "relative"}}}', 'ca_file'), ('{"timeout_seconds": 0}', 'timeout_seconds'),
    ('{"unqualified_search": "docker.io"}', 'unqualified_search'), ('{"registries": {"a": {"mirrors": [1]}}}', 'mirrors'),
    ('{"registries": {"a": {"plain-http": true}}}', 'plain-http'),
])
def test_wrong_settings_are_named(homes, nb, serve, image, text, word):
    registry = serve()
    homes.registries.write_text(text)
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), word, 'registries.json')
    assert registry.requests == []


def test_settings_that_are_not_there_are_named(homes, nb):
    refused(homes, nb, nb.run('pull', 'app', env={'NESTBOX_REGISTRIES': '/no/such'}), '/no/such')


# --------------------------------------------------------------------------------------------------------------- bad registries

def large_layer(image):
    return image['layers'][1]


def test_s44_a_transfer_that_breaks_off_goes_on_where_it_was(nb, serve, oci, image):
    digest = large_layer(image)['digest']
    body = oci.blob_path(digest).read_bytes()
    registry = serve(answers_once(digest, Answer(200, body, cut=300000), Answer(206, body[300000:], {
        'Content-Range': f'bytes 300000-{len(body) - 1}/{len(body)}'}, cut=100000)))
    assert nb.ok('run', '--rm', f'{registry.host}/app:1').text == 'app'
    assert [headers.get('Range') for headers in registry.headers_of(digest)] == [None, 'bytes=300000-', 'bytes=400000-']


def test_s44_a_server_that_knows_no_ranges(nb, serve, oci, image):
    digest = large_layer(image)['digest']
    body = oci.blob_path(digest).read_bytes()
    registry = serve(answers_once(digest, Answer(200, body, cut=300000), Answer(200, body)))
    assert nb.ok('run', '--rm', f'{registry.host}/app:1').text == 'app'


def test_s44_a_pull_that_was_killed_is_gone_on_with(homes, nb, serve, oci, image):
    digest = large_layer(image)['digest']
    body = oci.blob_path(digest).read_bytes()
    registry = serve(answers_once(digest, Answer(200, body, cut=500000, keep_open=True)))
    client = nb.popen('pull', f'{registry.host}/app:1')
    wait_until('half of the layer is here', lambda: [p for p in parts(nb) if (nb.home / p).stat().st_size == 500000])
    client.send_signal(signal.SIGKILL)
    nb.finish(client)
    wait_until('the worker has noticed', lambda: homes.new_processes() == [])
    assert nb.json('images', '--format', 'json') == []
    nb.ok('pull', f'{registry.host}/app:1')
    assert registry.headers_of(digest)[-1].get('Range') == 'bytes=500000-'
    assert parts(nb) == []


def test_s44_what_came_before_may_be_rubbish(nb, serve, oci, image):
    digest = large_layer(image)['digest']
    registry = serve()
    nb.ok('pull', f'{registry.host}/app:1')
    blob = nb.home / 'layout' / 'blobs' / 'sha256' / digest.removeprefix('sha256:')
    nb.ok('rmi', f'{registry.host}/app:1')
    assert blobs(nb) == []
    part = nb.home / 'layout' / 'parts' / digest.removeprefix('sha256:')
    part.write_bytes(b'x' * 1000)
    nb.ok('pull', f'{registry.host}/app:1')
    nb.ok('rmi', f'{registry.host}/app:1')
    part.write_bytes(b'x' * (large_layer(image)['size'] + 1))
    blob.write_bytes(b'damaged')
    nb.ok('pull', f'{registry.host}/app:1')


@pytest.mark.parametrize('status,headers', [(429, {'Retry-After': '1'}), (503, {}), (500, {})])
def test_s44_what_may_pass_is_tried_again(nb, serve, image, status, headers):
    again = Answer(status, error('TOOMANYREQUESTS', 'slow down'), headers)
    registry = serve(answers_once('manifests', again, again))
    began = time.monotonic()
    nb.ok('pull', f'{registry.host}/app:1')
    assert len(registry.headers_of('manifests')) == 3
    assert not headers or time.monotonic() - began >= 2  # what the registry asked for, twice


def test_s44_patience_has_an_end(homes, nb, serve, image):
    registry = serve(answers_once('manifests', *[Answer(429, error('TOOMANYREQUESTS', 'pull rate limit'), {'Retry-After': '100000'})] * 9))
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), '429', 'pull rate limit', registry.host, 'app')
    assert len(registry.requests) == 1


def test_s44_a_redirect_goes_without_the_login(nb, serve, oci, image):
    elsewhere = serve()
    service = TokenService()
    digest = large_layer(image)['digest']

    def script(request):
        service(request)
        if digest in request.path:
            raise Answer(307, headers={'Location': f'http://{elsewhere.host}{request.path}'})
    service.registry = serve(script)
    assert nb.ok('run', '--rm', f'{service.registry.host}/app:1').text == 'app'
    assert [headers.get('Authorization') for headers in elsewhere.headers_of(digest)] == [None]


def test_s44_a_loop_of_redirects(homes, nb, serve, image):
    def script(request):
        raise Answer(307, headers={'Location': request.path})
    registry = serve(script)
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), registry.host, 'redirects')
    assert len(registry.requests) < 20


@pytest.mark.parametrize('answer,words', [
    (Answer(200, '<html><body>Welcome to the hotel</body></html>', {'Content-Type': 'text/html'}), ['text/html']),
    (Answer(200, ''), ['empty']),
    (Answer(200, '{"schemaVersion": 1, "fsLayers": []}'), ['schema 1']),
    (Answer(200, '[' * 100000), ['nested']),
    (Answer(200, 'x' * (5 << 20)), ['bytes']),
    (Answer(404, error('MANIFEST_UNKNOWN', 'manifest unknown')), ['404', 'manifest unknown']),
    (Answer(403, error('DENIED', 'requested access is denied')), ['403', 'requested access is denied', 'nestbox login']),
    (Answer(418, '<html>teapot</html>'), ['418']),
    (Answer(200, '{}', {'X-Long': 'x' * 150000}), []),
    (Answer(401, headers={'WWW-Authenticate': 'Bearer realm='}), ['authentication']),
    (Answer(401, headers={'WWW-Authenticate': 'Digest realm="x"'}), ['login']),
])
def test_s44_answers_that_are_none(homes, nb, serve, image, answer, words):
    registry = serve(answers_once('manifests', *[answer] * 9))
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), *words)


@pytest.mark.parametrize('answer', [Answer(200, b'', cut=0, keep_open=True), Answer(200, b'{"schema', {'Content-Length': '1000'}, keep_open=True)])
def test_s44_a_registry_that_falls_silent(homes, nb, serve, image, answer):
    registry = serve(answers_once('manifests', *[answer] * 9), timeout_seconds=1)
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), registry.host)


def test_s44_nobody_listens(homes, nb):
    homes.set_registries(registries={'127.0.0.1:1': {'plain_http': True}})
    refused(homes, nb, nb.run('run', '--rm', '127.0.0.1:1/app:1'), '127.0.0.1:1', code=125)


def test_s44_a_wrong_digest_leaves_nothing(homes, nb, serve, oci, image):
    digest = large_layer(image)['digest']
    body = oci.blob_path(digest).read_bytes()
    registry = serve(answers_once(digest, Answer(200, body[:-1] + bytes([body[-1] ^ 1]))))
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), digest)
    assert not any(digest.removeprefix('sha256:') in path for path in nb.files())
    nb.ok('pull', f'{registry.host}/app:1')


def test_s44_more_than_was_promised(homes, nb, serve, oci, image):
    digest = large_layer(image)['digest']
    registry = serve(answers_once(digest, Answer(200, oci.blob_path(digest).read_bytes() + b'more')))
    refused(homes, nb, nb.run('pull', f'{registry.host}/app:1'), digest, 'more than')


def test_s44_a_manifest_that_is_not_the_pinned_one(homes, nb, serve, oci, image, busybox_layer):
    other = oci.image('2', [busybox_layer])
    registry = serve(answers_once('manifests', Answer(200, oci.blob_path(other['manifest']['digest']).read_bytes())))
    refused(homes, nb, nb.run('pull', f'{registry.host}/app@{image["manifest"]["digest"]}'), image['manifest']['digest'],
            other['manifest']['digest'])


def test_s44_a_layer_that_is_not_what_the_configuration_says(homes, nb, serve, oci, image):
    """Its digest in the manifest is right, its diff_id is not."""
    manifest = json.loads(oci.blob_path(image['manifest']['digest']).read_text())
    manifest['layers'].reverse()
    described = oci.blob(manifest, 'manifest.v1+json')
    oci.manifests.append(described | {'annotations': {'org.opencontainers.image.ref.name': 'mixed'}})
    refused(homes, nb, nb.run('pull', f'{serve().host}/app:mixed'), 'layer 1 of 2')


# ------------------------------------------------------------------------------------------------------- several, and the end

def test_s32_one_image_pulled_twice_at_once_is_fetched_once(nb, serve, image):
    registry = serve()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        clients = [nb.popen('pull', f'{registry.host}/app:1') for _ in range(2)]
        results = list(pool.map(nb.finish, clients))
    assert [result.code for result in results] == [0, 0], results
    assert len(registry.blobs_asked_for()) == 3


def test_rmi_gives_the_blobs_back_that_no_other_image_has(nb, serve, oci, image, busybox_layer):
    registry = serve()
    oci.image('2', [busybox_layer, Tar().file('two', 'two').bytes()])
    nb.ok('pull', f'{registry.host}/app:1', f'{registry.host}/app:2')
    nb.ok('rmi', f'{registry.host}/app:1')
    left = {path.rsplit('/', 1)[1] for path in blobs(nb)}
    assert image['layers'][0]['digest'].removeprefix('sha256:') in left
    assert large_layer(image)['digest'].removeprefix('sha256:') not in left
    nb.ok('rmi', f'{registry.host}/app:2')
    assert blobs(nb) == []


@pytest.mark.parametrize('name', ['UPPER/case', 'a//b', 'app:', 'app@sha256:12', '-x/y', 'app:.x', 'app@sha256:' + 'g' * 64, 'a' * 300,
                                  'a..b', 'http://127.0.0.1/app', 'app:tag:tag'])
def test_names_that_are_none(homes, nb, name):
    refused(homes, nb, nb.run('pull', '--', name), name[:100])


def test_an_environment_that_is_large(nb, serve, image):
    nb.ok('pull', f'{serve().host}/app:1', env={f'LARGE_{i}': 'x' * 100000 for i in range(10)})


@real_registry
def test_a_password_stays_out_of_sight(homes, nb, private):
    """Neither arguments nor environment of any process, nor a file but the one that keeps it, nor the log."""
    result = log_in(nb, private, 'se:cret')
    assert 'se:cret' not in result.err and 'se:cret' not in result.text
    pulled = nb.ok('--log-level', 'debug', 'pull', f'{private.host}/team/app:1')
    secret = basic('me', 'se:cret').split()[1]
    assert 'se:cret' not in pulled.err and secret not in pulled.err
    for path in nb.files():
        if path != 'auth.json' and (nb.home / path).is_file() and (nb.home / path).stat().st_size < 1 << 20:
            data = (nb.home / path).read_bytes()
            assert b'se:cret' not in data and secret.encode() not in data, path

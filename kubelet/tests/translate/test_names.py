"""Names on the host."""

import random
import re
import string

import pytest
from k3k_kubelet.translate import names

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
HASH = r"[a-z2-7]{16}"


@pytest.mark.parametrize(
    ("namespace", "name", "readable"),
    [
        ("default", "web", "web-default"),
        ("default", "web-7d9c8b6f5d-x7k2p", "web-7d9c8b6f5d-x7k2p-default"),
        ("default", "kube-root-ca.crt", "kube-root-ca-crt-default"),
        ("", "node-1", "node-1"),
        ("team-a-production-europe-west", "web", "web-team-a-production-europe-west"),
        # Too long: first the namespace gives way, down to 8 characters, then the middle of the name.
        (
            "team-a-production-europe-west",
            "web-7d9c8b6f5d-x7k2p",
            "web-7d9c8b6f5d-x7k2p-team-a-production-europe"[:46].rstrip("-"),
        ),
        (
            "team-a-production",
            "my-very-long-deployment-name-7d9c8b6f5d-x7k2p",
            "my-very-long-deployment-name-7-x7k2p-team-a-p",
        ),
        ("default", "-".join(["a"] * 60), None),
        ("default", "...", "default"),
    ],
)
def test_a_name_says_what_it_stands_for(namespace: str, name: str, readable: str | None) -> None:
    found = names.host_name("team", namespace, name)
    assert LABEL.fullmatch(found)
    assert len(found) <= 63
    if readable is not None:
        assert re.fullmatch(re.escape(readable) + "-" + HASH, found)


def random_name(source: random.Random, longest: int, alphabet: str) -> str:
    inner = "".join(source.choice(alphabet) for _ in range(source.randrange(longest - 1)))
    return source.choice(string.ascii_lowercase) + inner.replace("..", ".a") + source.choice(string.digits)


def test_random_names_are_valid_and_all_different() -> None:
    source = random.Random(20261121)
    wanted = set()
    for _ in range(20_000):
        namespace = random_name(source, 63, "abc-1")
        wanted.add((source.choice(["a", "b"]), namespace, random_name(source, 253, "abcxyz0-.")))
    found = {names.host_name.__wrapped__(*each) for each in wanted}
    assert len(found) == len(wanted)
    assert [name for name in found if len(name) > 63 or not LABEL.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("team", "a-b", "c"), ("team", "a", "b-c")),
        (("team", "default", "a.b"), ("team", "default", "a-b")),
        (("team", "default", "web"), ("other", "default", "web")),
        (("a", "b-c", "d"), ("a-b", "c", "d")),
        (("team", "default", "x" * 80 + "-aaaaa"), ("team", "default", "x" * 81 + "-aaaaa")),
    ],
)
def test_what_reads_alike_has_another_hash(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert names.host_name(*one)[-16:] != names.host_name(*other)[-16:]


def test_names_never_change_between_versions() -> None:
    assert names.host_name("team", "default", "web") == "web-default-zetuizgzxmxha772"
    assert names.token_secret_name("team", "default", "web", "pod-uid") == "web-default-7uksoqce2rjfcem6"


def test_the_token_secret_of_a_pod_is_no_copy_of_a_secret_and_another_for_each_pod() -> None:
    found = {
        names.token_secret_name("team", "default", "web", "1"),
        names.token_secret_name("team", "default", "web", "2"),
        names.host_name("team", "default", "web"),
        names.host_name("team", "default", "web-token-1"),
        names.host_name("team", "default", "web.token.1"),
    }
    assert len(found) == 5


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("a", True),
        ("kube-root-ca.crt", True),
        ("0-9.a", True),
        ("x" * 253, True),
        ("x" * 254, False),
        ("", False),
        ("..", False),
        ("a/b", False),
        ("../secrets/b", False),
        ("a..b", False),
        ("-a", False),
        ("a.", False),
        ("A", False),
        ("a\n", False),
        ("a\0b", False),
        ("ü", False),
    ],
)
def test_names_that_objects_can_have(name: str, valid: bool) -> None:
    assert names.is_name(name) is valid


@pytest.mark.parametrize(
    ("key", "on_host"),
    [
        ("app", "labels.k3k-pulumi.io/app"),
        ("pod-template-hash", "labels.k3k-pulumi.io/pod-template-hash"),
        ("app.kubernetes.io/name", "app.kubernetes.io.labels.k3k-pulumi.io/name"),
        ("apps.kubernetes.io/pod-index", "apps.kubernetes.io.labels.k3k-pulumi.io/pod-index"),
        ("k3k-pulumi.io/cluster", "k3k-pulumi.io.labels.k3k-pulumi.io/cluster"),
        ("labels.k3k-pulumi.io/app", "labels.k3k-pulumi.io.labels.k3k-pulumi.io/app"),
        ("x" * 232 + "/app", "x" * 232 + ".labels.k3k-pulumi.io/app"),
        ("x" * 233 + "/app", "cejm3677476sfjdi.hashed-labels.k3k-pulumi.io/app"),
    ],
)
def test_a_label_key_on_the_host(key: str, on_host: str) -> None:
    assert names.label_key(key) == on_host
    assert names.is_reserved(on_host)
    assert len(on_host.rpartition("/")[0]) <= 253


def test_an_annotation_has_another_key_than_the_label_of_the_same_name() -> None:
    assert names.annotation_key("example.com/a") == "example.com.annotations.k3k-pulumi.io/a"


@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("k3k-pulumi.io/cluster", True),
        ("labels.k3k-pulumi.io/app", True),
        ("a.b.k3k-pulumi.io/x", True),
        ("K3K-Pulumi.io/cluster", True),
        ("k3k-pulumi.io", False),
        ("notk3k-pulumi.io/x", False),
        ("k3k-pulumi.io.example.com/x", False),
        ("app", False),
    ],
)
def test_our_domain_is_ours(key: str, reserved: bool) -> None:
    assert names.is_reserved(key) is reserved

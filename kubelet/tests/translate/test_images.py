"""Which registry an image is of, by its full name."""

from typing import Any

import pytest
from k3k_kubelet.translate import Refused, images

from kubelet.tests.translate.builders import allowing, host_spec, pod, to_host

_DIGEST = "sha256:" + "0123456789abcdef" * 4
NAMES = [
    # github.com/distribution/reference, normalize_test.go
    ("nginx", "docker.io/library/nginx"),
    ("nginx:1.27", "docker.io/library/nginx"),
    (f"nginx@{_DIGEST}", "docker.io/library/nginx"),
    (f"nginx:1@{_DIGEST}", "docker.io/library/nginx"),
    ("docker.io/nginx", "docker.io/library/nginx"),
    ("index.docker.io/nginx", "docker.io/library/nginx"),
    ("index.docker.io/team/app", "docker.io/team/app"),
    ("library/nginx", "docker.io/library/nginx"),
    ("docker.io/library/foo/bar", "docker.io/library/foo/bar"),
    ("team/app", "docker.io/team/app"),
    ("test_com/foo", "docker.io/test_com/foo"),
    ("192.168.0.1", "docker.io/library/192.168.0.1"),
    ("192.168.0.1:80", "docker.io/library/192.168.0.1"),
    ("127.0.0.1:5000/app", "127.0.0.1:5000/app"),
    ("localhost/app", "localhost/app"),
    ("localhost:5000/app:1", "localhost:5000/app"),
    ("test-com:8080/foo", "test-com:8080/foo"),
    ("[fc00::1]:5000/a/b", "[fc00::1]:5000/a/b"),
    ("Foo/bar", "Foo/bar"),
    ("registry.example.com/team/app:v1.2_3", "registry.example.com/team/app"),
    ("a.b/dock__er/x---y", "a.b/dock__er/x---y"),
    (f"docker.io/{'1a3f' * 16}", f"docker.io/library/{'1a3f' * 16}"),
    ("dbcc1", "docker.io/library/dbcc1"),
    ("sha256:latest", "docker.io/library/sha256"),
    ("team/sha256:abcdef12", "docker.io/team/sha256"),
]
NONE = [
    "",
    "/",
    "nginx:",
    "nginx ",
    " nginx",
    "nginx\n",
    "NGINX",
    "team/App",
    "team//app",
    "team/../app",
    "registry.example.com/team/../../x",
    "registry.example.com/",
    "registry.example.com//app",
    "https://registry.example.com/app",
    "user@registry.example.com/app",
    "registry.example.com:443:1/app",
    "-team/app",
    "team/-app",
    "dock..er/app",
    "nginx:a/b",
    "nginx@sha256:12",
    "ünicode/app",
    f"a.b/{'x' * 256}",
    "1a3f" * 16,  # the id of an image
    _DIGEST,
    "sha512:" + "a" * 128,
    "sha256:abcdef12",  # the beginning of a digest finds the image
    "sha384:0",
    "sha512:ABC",
]


@pytest.mark.parametrize(("image", "name"), NAMES, ids=[image[:40] for image, _ in NAMES])
def test_the_full_name_of_an_image(image: str, name: str) -> None:
    assert images.repository(image) == name


@pytest.mark.parametrize("image", NONE, ids=repr)
def test_what_is_no_name_has_none_and_is_of_no_registry(image: str) -> None:
    assert images.repository(image) is None
    assert not images.is_of(image, ["docker.io/", "registry.example.com", "localhost"])


@pytest.mark.parametrize(
    ("image", "registries", "found"),
    [
        ("nginx", ["docker.io"], True),
        ("nginx", ["docker.io/library/"], True),
        ("nginx", ["docker.io/library/nginx"], True),
        ("nginx:2", ["docker.io/library/nginx/"], True),
        ("nginx-evil", ["docker.io/library/nginx"], False),
        ("nginx/evil", ["docker.io/library/nginx"], False),
        ("registry.example.com/team/app", ["registry.example.com/team/"], True),
        ("registry.example.com/team-b/app", ["registry.example.com/team"], False),
        ("registry.example.com/app", ["registry.example.com/team/"], False),
        ("registry.example.com.evil.example/team/app", ["registry.example.com"], False),
        ("registry.example.com:5000/team/app", ["registry.example.com"], False),
        ("registry.example.com:5000/team/app", ["registry.example.com:5000"], True),
        ("Registry.example.com/team/app", ["registry.example.com"], False),
        ("evil/registry.example.com/team", ["registry.example.com"], False),
        ("localhost/app", ["localhost"], True),
        ("nginx", [], False),
        ("nginx", ["registry.example.com", "docker.io"], True),
    ],
)
def test_names_are_compared_by_whole_parts(image: str, registries: list[str], found: bool) -> None:
    assert images.is_of(image, registries) is found


POLICY = allowing(imageRegistries=["registry.example.com/team/", "docker.io/library/nginx"])
OWN = {"name": "own", "image": "registry.example.com/team/app"}
OTHER = {"name": "other", "image": "registry.example.com/app"}
PLACES: list[tuple[dict[str, Any], str]] = [
    ({"containers": [OWN, OTHER]}, "spec.containers[1].image"),
    ({"initContainers": [OTHER]}, "spec.initContainers[0].image"),
    (
        {"initContainers": [OWN, {**OTHER, "restartPolicy": "Always"}]},
        "spec.initContainers[1].image",
    ),
    (
        {"volumes": [{"name": "v", "image": {"reference": OTHER["image"]}}]},
        "spec.volumes[0].image.reference",
    ),
    ({"volumes": [{"name": "v", "image": {"reference": ""}}]}, "spec.volumes[0].image.reference"),
]


@pytest.mark.parametrize(("spec", "path"), PLACES, ids=[path for _, path in PLACES])
def test_an_image_of_another_registry_is_refused_wherever_it_stands(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod(spec), POLICY)
    assert caught.value.path == path
    assert str(caught.value).endswith(
        "; allowed by pods.imageRegistries of the cluster's policy: registry.example.com/team/, "
        "docker.io/library/nginx"
    )


def test_a_refusal_says_the_full_name() -> None:
    with pytest.raises(Refused) as caught:
        to_host(pod({"containers": [{"name": "a", "image": "busybox:1"}]}), POLICY)
    assert str(caught.value).startswith(
        "spec.containers[0].image: 'busybox:1' is of docker.io/library/busybox, which is not allowed in this "
        "cluster; "
    )
    with pytest.raises(Refused, match="' is no name of an image and is not allowed in this cluster; "):
        to_host(pod({"containers": [{"name": "a", "image": "0" * 64}]}), POLICY)


def test_images_of_the_policys_registries_are_copied_as_they_are() -> None:
    spec = {
        "containers": [OWN, {"name": "web", "image": "nginx"}],
        "volumes": [{"name": "v", "image": {"reference": f"registry.example.com/team/data@{_DIGEST}"}}],
    }
    found = host_spec(pod(spec), POLICY)
    assert [each["image"] for each in found["containers"]] == [OWN["image"], "nginx"]
    assert found["volumes"] == spec["volumes"]


@pytest.mark.parametrize("image", [image for image, _ in NAMES] + NONE, ids=repr)
def test_without_a_list_every_image_may_be(image: str) -> None:
    found = host_spec(pod({"containers": [{"name": "a", "image": image}]}))
    assert found["containers"][0]["image"] == image

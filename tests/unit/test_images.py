import pytest
from k3k_kubelet.translate import images as workloads

from k3k_pulumi.model import images

NAMES = [
    ("nginx", "docker.io/library/nginx"),
    ("nginx:1.27", "docker.io/library/nginx"),
    ("library/nginx", "docker.io/library/nginx"),
    ("docker.io/nginx", "docker.io/library/nginx"),
    ("index.docker.io/nginx", "docker.io/library/nginx"),
    ("team/tool", "docker.io/team/tool"),
    ("registry.example.com/nginx", "registry.example.com/nginx"),
    ("registry.example.com:5000/team/tool:v1", "registry.example.com:5000/team/tool"),
    (f"registry.example.com/tool@sha256:{'0' * 64}", "registry.example.com/tool"),
    (f"registry.example.com/tool:v1@sha256:{'0' * 64}", "registry.example.com/tool"),
    ("localhost/tool", "localhost/tool"),
    ("localhost:5000/tool", "localhost:5000/tool"),
    ("[2001:db8::1]:5000/tool", "[2001:db8::1]:5000/tool"),
    # A colon before no slash is a tag's.
    ("localhost:5000", "docker.io/library/localhost"),
    ("registry/tool", "docker.io/registry/tool"),
    ("0" * 64, None),
    (f"sha256:{'0' * 64}", None),
    ("sha256:abcdef12", None),
    ("sha512:0", None),
    ("sha256:latest", "docker.io/library/sha256"),
    ("registry.example.com/team/../other/tool", None),
    ("registry.example.com/team//tool", None),
    ("registry.example.com/Team/tool", None),
    ("registry.example.com/team/tool:", None),
    ("registry.example.com/", None),
    ("https://registry.example.com/tool", None),
    ("", None),
]


@pytest.mark.parametrize(("image", "name"), NAMES)
def test_images_have_the_names_that_container_runtimes_give_them(image: str, name: str | None) -> None:
    assert images.repository(image) == name
    assert workloads.repository(image) == name


REGISTRIES = [
    ("registry.example.com", "registry.example.com/tool", True),
    ("registry.example.com/", "registry.example.com/team/tool:v1", True),
    ("registry.example.com/team", "registry.example.com/team/tool", True),
    ("registry.example.com/team/", "registry.example.com/team/tool", True),
    ("registry.example.com/team/tool", "registry.example.com/team/tool:v2", True),
    ("registry.example.com/team", "registry.example.com/team-b/tool", False),
    ("registry.example.com/team", "registry.example.com/team", True),
    ("registry.example.com/team", "registry.example.com/tool", False),
    ("registry.example.com", "registry.example.com:5000/tool", False),
    ("registry.example.com", "registry.example.com.evil.example/tool", False),
    ("registry.example.com", "evil.example/registry.example.com/tool", False),
    ("registry.example.com/team", "registry.example.com/team/../other/tool", False),
    ("docker.io", "nginx", True),
    ("docker.io/library", "nginx:1", True),
    ("docker.io/library", "team/nginx", False),
    ("docker.io/rancher/k3s", "rancher/k3s:v1.34.4-k3s1", True),
    # An image's id may be any image that the node has.
    ("docker.io", "0" * 64, False),
]


@pytest.mark.parametrize(("registry", "image", "expected"), REGISTRIES)
def test_registries_are_compared_by_whole_parts(registry: str, image: str, expected: bool) -> None:
    assert images.is_from(image, [registry]) is expected
    assert images.is_from(image, ["other.example/", registry]) is expected
    assert workloads.is_of(image, [registry]) is expected
    assert not images.is_from(image, [])

"""The life of a stack on the real engine: a policy, two clusters, and a tenant's resources in each.

The tests are the steps of one life, in order; each needs those before it. What a step changes is compared
with the table in docs/pulumi.md, and no step but one that is about that replaces anything of a tenant's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import parts, run
from tests.e2e.conftest import Host, unique, watch
from tests.e2e.engine.lifecycle import ANYWHERE, COLUMNS, KEYS, Life, documented, older_library
from tests.e2e.support.clusters import PREFIX, running
from tests.e2e.support.engine import environment
from tests.e2e.support.operations import Operations, title
from tests.e2e.support.polling import eventually

pytestmark = [pytest.mark.needs_engine, pytest.mark.xdist_group("lifecycle")]

SERVER = f"{PREFIX}component=server"


@pytest.fixture(scope="module")
def life(host: Host, kubelet_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    del kubelet_image  # just has to be on the host
    folder = tmp_path_factory.mktemp("life")
    variables = environment(folder, host.kubeconfig)
    life = Life.begin(folder, variables, host.kubectl, unique("l"))
    yield life
    life.project.stack.destroy()


@pytest.fixture(autouse=True)
def shown_on_failure(life: Life, request: pytest.FixtureRequest) -> None:
    watch(request.node, *(life.control_plane(key) for key in KEYS))


@pytest.fixture
def kept(life: Life) -> Iterator[None]:
    """Nothing of a tenant's is made anew in this step."""
    before = life.identities()
    yield
    assert life.identities() == before


def compare(life: Life, step: str, operations: Operations, columns: tuple[str, ...] = COLUMNS) -> None:
    """The docs say what a step did."""
    row, said = life.row(operations), documented()
    line = f"| {step} | {' | '.join(row[each] for each in COLUMNS)} |"
    assert step in said, f"docs/pulumi.md has no row for this step: {line}"
    assert {each: row[each] for each in columns} == {each: said[step][each] for each in columns}, line


def test_first_up(life: Life, tmp_path: Path) -> None:
    """By an earlier version of the library where there is one."""
    if parts.missing("needs_older_library") is None:
        life.environment["PYTHONPATH"] = str(older_library(tmp_path))
    operations, result = life.up()
    assert result.outputs["library"].value.startswith(life.environment.pop("PYTHONPATH", str(run.ROOT)))
    compare(life, "the first `up`", operations)
    for key in KEYS:
        running(life.inside(key), "app=web", 1)


@pytest.mark.needs_older_library
@pytest.mark.usefixtures("kept")
def test_upgrade_of_the_library(life: Life) -> None:
    """What is new in a version may be made and updated; that is no matter of this table."""
    operations, result = life.up()
    assert result.outputs["library"].value.startswith(str(run.ROOT))
    compare(life, "`up` with a newer version of the library", operations, ("replace", "delete"))


@pytest.mark.usefixtures("kept")
def test_nothing_changed(life: Life) -> None:
    for operations in (life.preview(), life.up()[0]):
        assert len(operations.same) > 100
        compare(life, "nothing", operations)


def test_tenant_objects(life: Life) -> None:
    """A changed ConfigMap is another one by the kubernetes provider's own rules, a Deployment is not."""
    before = life.identities()
    life.given |= {"settings": {"n": "2"}, "annotations": {"n": "2"}}
    compare(life, "a ConfigMap's data and a Deployment's annotation, inside", life.up()[0])
    changed = {each for each, uid in life.identities().items() if before.get(each) != uid}
    assert changed == {f"{key} ConfigMap web" for key in KEYS}
    assert life.inside("b").get("deployment", "web")["metadata"]["annotations"]["n"] == "2"


@pytest.mark.usefixtures("kept")
def test_policy(life: Life) -> None:
    life.given["policy"] |= {
        "quotas": {"pods": {"hard": {"pods": "50"}}},
        "pods": {"image_registries": ["docker.io"]},
    }
    compare(life, "the policy: a quota, and `pods.image_registries`", life.up()[0])


@pytest.mark.usefixtures("kept")
def test_resources(life: Life) -> None:
    life.args("a")["resources"] = {"kubelet": {"requests": {"cpu": "15m", "memory": "64Mi"}}}
    compare(life, "`resources.kubelet` of `a`", life.up()[0])


@pytest.mark.usefixtures("kept")
def test_stub_zones(life: Life) -> None:
    life.args("a")["dns"] = {"stub_zones": {"corp.example": ["192.0.2.53"]}}
    compare(life, "`dns.stub_zones` of `a`", life.up()[0])


@pytest.mark.usefixtures("kept")
def test_keys_of_the_kubeconfig(life: Life) -> None:
    (admin,) = (each for each in life.resources() if title(each) == "Stash a-admin")
    old = life.kubeconfig("a").read_text()
    compare(life, "`up --replace` of the Stash `a-admin`", life.up(replace=[admin])[0])
    assert life.kubeconfig("a").read_text() != old


@pytest.mark.usefixtures("kept")
def test_endpoint(life: Life, host: Host) -> None:
    addresses = host.kubectl.get("nodes")[0]["status"]["addresses"]
    (node,) = (each["address"] for each in addresses if each["type"] == "InternalIP")
    life.args("a")["expose"] = {"type": "NodePort", "host": node, **ANYWHERE}
    for operations in (life.preview(), life.up()[0]):
        compare(life, "`expose.type` of `a`", operations)
    assert f"https://{node}:" in life.kubeconfig("a").read_text()


@pytest.mark.usefixtures("kept")
def test_refresh(life: Life) -> None:
    compare(life, "`refresh`", life.refresh())
    compare(life, "nothing", life.preview())


def test_outage(life: Life) -> None:
    """The servers of `a` are away, and somebody has them back by the next deployment."""
    before, namespace = life.identities(), life.control_plane("a")
    namespace("scale", "statefulset", "a-server", "--replicas=0")
    eventually(lambda: not namespace.get("pods", "-l", SERVER))
    life.given["annotations"] = {"n": "3"}
    compare(life, "the Deployments' annotation again, while the servers of `a` are away", life.up()[0])
    compare(life, "`refresh` while they are away", life.refresh())
    compare(life, "`up` after that, which has them back", life.up()[0])
    compare(life, "nothing", life.up()[0])
    assert life.identities() == before
    assert life.inside("a").get("deployment", "web")["metadata"]["annotations"]["n"] == "3"


def test_lost_data(life: Life) -> None:
    """A cluster that starts empty has nothing of what the state says: the next refresh finds out."""
    namespace = life.control_plane("a")
    namespace("delete", "statefulset/a-server", "persistentvolumeclaim/data-a-server-0")
    eventually(lambda: not namespace.get("pods", "-l", SERVER))
    compare(life, "`up --refresh`, the servers of `a` and their claim being lost", life.up(refresh=True)[0])
    compare(life, "`up --refresh` once more, as `a` is empty", life.up(refresh=True)[0])
    compare(life, "nothing", life.up()[0])
    running(life.inside("a"), "app=web", 1)


def test_empty_datastore(life: Life) -> None:
    """Its StatefulSet is replaced, and nothing that is inside by what the state says."""
    life.args("a")["persistence"] = {"type": "ephemeral"}
    # It is refused unless the Stash is to forget what the cluster was made with.
    (identity,) = (urn for urn in life.resources() if title(urn) == "Stash a-identity")
    for operations in (life.preview(replace=[identity]), life.up(replace=[identity])[0]):
        compare(life, "`persistence.type` of `a`, which empties it", operations)
    compare(life, "`up --refresh` after that", life.up(refresh=True)[0])
    compare(life, "nothing", life.up()[0])
    running(life.inside("a"), "app=web", 1)


@pytest.mark.usefixtures("kept")
def test_another_name(life: Life) -> None:
    life.given["clusters"]["a"] |= {"name": "renamed", "aliases": ["a"]}
    life.args("a")["cluster_name"] = "a"
    compare(life, "another name of the resource, with `cluster_name` and an alias", life.up()[0])
    assert any(title(each) == "StatefulSet renamed-server" for each in life.resources())


def test_destroy(life: Life, host: Host) -> None:
    """Also of a cluster whose servers are gone for good."""
    namespace = life.control_plane("b")
    namespace("delete", "statefulset", "b-server")
    eventually(lambda: not namespace.get("pods", "-l", SERVER))
    compare(life, "`destroy`, the StatefulSet of `b` being gone", life.destroy())
    assert life.resources() == {}
    eventually(lambda: life.given["prefix"] not in str(host.kubectl.get("namespaces")))

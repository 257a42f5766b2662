"""What other objects than pods use: told when it begins and when it ends."""

from __future__ import annotations

from k3k_kubelet.api import HTTP_ROUTES, INGRESSES
from k3k_kubelet.cache import Store
from k3k_kubelet.sync.stores import Reference
from k3k_kubelet.sync.uses import User, Uses

CERTIFICATE, OTHER = (Reference("secrets", "shop", name) for name in ("certificate", "other"))
SITE, BLOG = (User(INGRESSES, "shop", name) for name in ("site", "blog"))


def test_only_what_begins_or_ends_to_be_used_is_told() -> None:
    uses = Uses()
    told: list[Reference] = []
    uses.subscribe(told.append, lambda: None)
    uses.set(SITE, [CERTIFICATE])
    uses.set(SITE, [CERTIFICATE])
    assert told == [CERTIFICATE]
    uses.set(SITE, [CERTIFICATE, OTHER])
    assert told[1:] == [OTHER]
    uses.set(SITE, [OTHER])
    assert told[2:] == [CERTIFICATE]
    assert not uses.used(CERTIFICATE)
    assert uses.references() == [OTHER]


def test_what_two_use_is_used_until_the_second_ends() -> None:
    uses = Uses()
    uses.set(SITE, [CERTIFICATE])
    uses.set(BLOG, [CERTIFICATE])
    uses.set(SITE, ())
    assert uses.used(CERTIFICATE)
    uses.set(BLOG, ())
    assert not uses.used(CERTIFICATE)
    assert uses.references() == []


def test_users_are_found_where_they_are_kept() -> None:
    uses, store = Uses(), Store()
    uses.register(INGRESSES, INGRESSES, store, awaited=False)
    uses.set(SITE, [CERTIFICATE])
    uses.set(BLOG, [CERTIFICATE])  # gone by now
    site = {"metadata": {"namespace": "shop", "name": "site", "uid": "1", "resourceVersion": "1"}}
    store.put(site)
    assert list(uses.users(CERTIFICATE)) == [(INGRESSES, site)]
    assert list(uses.users(OTHER)) == []


def test_what_is_used_is_known_when_all_have_said_it() -> None:
    uses = Uses()
    known: list[bool] = []
    uses.subscribe(lambda _: None, lambda: known.append(uses.are_known))
    for resource in (INGRESSES, HTTP_ROUTES):
        uses.register(resource, resource, Store(), awaited=True)
    uses.settled(INGRESSES)
    assert not uses.are_known
    uses.settled(HTTP_ROUTES)
    uses.settled(HTTP_ROUTES)
    assert uses.are_known
    assert known == [True]

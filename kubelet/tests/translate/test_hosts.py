"""Which host names a policy's list has."""

import pytest
from k3k_kubelet.translate import Refused, hosts

LISTED = ("app.example.org", "*.example.com")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("app.example.org", True),
        ("example.org", False),
        ("other.example.org", False),
        ("a.app.example.org", False),
        ("a.example.com", True),
        ("*.example.com", True),
        ("example.com", False),
        ("a.b.example.com", False),  # an asterisk stands for one label, as in an Ingress
        ("*.b.example.com", False),
        ("xexample.com", False),
        ("*", False),
        ("", False),
    ],
)
def test_a_list_has_its_names_and_those_one_label_below_an_asterisk(host: str, allowed: bool) -> None:
    assert hosts.is_allowed(host, LISTED) is allowed


@pytest.mark.parametrize(
    "host", ["a.example.com.", "A.example.com", "-a.example.com", "a..b", "a b", "x`y", "*.*.com", "a" * 64]
)
def test_what_is_no_host_name_is_not_allowed_even_where_all_are(host: str) -> None:
    assert not hosts.is_allowed(host, ("*", host))


def test_the_message_says_what_the_policy_allows() -> None:
    with pytest.raises(Refused) as refused:
        hosts.check("victim.example.net", LISTED, "spec.rules[0].host", "sync.x.hosts")
    assert str(refused.value) == (
        "spec.rules[0].host: host 'victim.example.net' is not one that this cluster may answer for; "
        "the policy's sync.x.hosts allows *.example.com, app.example.org"
    )


def test_a_long_list_is_not_told_in_full() -> None:
    many = [f"h{n}.example.com" for n in range(300)]
    with pytest.raises(Refused) as refused:
        hosts.check("a.example.org", many, "spec.rules[0].host", "sync.x.hosts")
    assert "and 290 more" in str(refused.value)

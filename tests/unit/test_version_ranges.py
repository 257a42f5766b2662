import pytest

from k3k_pulumi.model.versions import Version, parse, parse_range

RANGES = [
    (">=1.33", ("v1.33.0", "v1.33.9", "v1.34.0"), ("v1.32.99",)),
    (">1.33", ("v1.34.0",), ("v1.33.0", "v1.33.9")),
    ("<=1.35", ("v1.35.0", "v1.35.99", "v1.34.0"), ("v1.36.0",)),
    ("<1.36", ("v1.35.99",), ("v1.36.0", "v1.36.1")),
    ("=1.34", ("v1.34.0", "v1.34.4"), ("v1.33.9", "v1.35.0")),
    ("==1.34.4", ("v1.34.4",), ("v1.34.3", "v1.34.5")),
    (">=1.33 <1.36", ("v1.33.0", "v1.35.9"), ("v1.32.9", "v1.36.0")),
    (">=1.33,<1.36", ("v1.33.0", "v1.35.9"), ("v1.32.9", "v1.36.0")),
    (">= v1.33.2, <= v1.33.10", ("v1.33.2", "v1.33.9", "v1.33.10"), ("v1.33.1", "v1.33.11")),
    (">=1", ("v1.33.0",), ()),
    ("<1", (), ("v1.33.0",)),
]


@pytest.mark.parametrize(("text", "admitted", "refused"), RANGES, ids=[each[0] for each in RANGES])
def test_a_condition_looks_at_as_many_numbers_as_it_has(
    text: str, admitted: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    found = parse_range(text)
    for version in admitted:
        assert found.admits(parse("kubernetes", version)), version
        assert found.admits(parse("k3s", f"{version}+k3s1")), version
    for version in refused:
        assert not found.admits(parse("kubernetes", version)), version
        assert not found.admits(parse("k3s", f"{version}-k3s1")), version


@pytest.mark.parametrize(
    ("text", "version", "admitted"),
    [
        (">=1.34.4+k3s2", Version(1, 34, 4, "k3s1"), False),
        (">=1.34.4+k3s2", Version(1, 34, 4, "k3s2"), True),
        # As text, k3s10 would come before k3s2.
        (">=1.34.4+k3s2", Version(1, 34, 4, "k3s10"), True),
        ("<1.34.4-k3s2", Version(1, 34, 4, "k3s10"), False),
        ("<1.34.4-k3s2", Version(1, 34, 4, "k3s1"), True),
        (">=1.34.4+k3s2", Version(1, 34, 5, "k3s1"), True),
        ("=1.34.4", Version(1, 34, 4, "k3s3"), True),
        # Builds are K3s' own: without one it is the version that counts.
        (">=1.34.4+k3s2", Version(1, 34, 4), True),
        (">=1.34.4+k3s2", Version(1, 34, 3), False),
    ],
)
def test_builds_of_k3s_are_numbers(text: str, version: Version, admitted: bool) -> None:
    assert parse_range(text).admits(version) is admitted


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1.33", ">=", ">=1.", ">=1.33.", ">=1.33.1.2", ">=1.33<1.36", "~1.33", "^1.33", "!=1.33"),
        *(
            ">=1.33 || <1.2",
            "latest",
            "*",
            ">=1.x",
            ">=1.33+k3s1",
            ">=1.34.4+rke2",
            ">=-1",
            ">=1.33 and",
            "=>1.33",
        ),
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be conditions that all hold, like "):
        parse_range(text)


@pytest.mark.parametrize("text", [">=1.33 <1.36", "=1.34", ">1.34.4+k3s2", "<=1"])
def test_a_range_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_range(text)) == text
    assert parse_range(str(parse_range(text.replace(" ", ", ")))) == parse_range(text)

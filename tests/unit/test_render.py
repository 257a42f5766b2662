import pytest
import yaml

from k3k_pulumi.render import render
from tests.unit.support import manifests


def test_every_yaml_document_is_one_of_the_objects() -> None:
    objects = manifests()
    assert list(yaml.safe_load_all(render(objects))) == objects


def test_texts_of_several_lines_stay_readable_and_nothing_is_aliased() -> None:
    shared = {"a": "1"}
    assert render([{"text": "one\ntwo\n", "first": shared, "second": shared}]) == (
        "text: |\n  one\n  two\nfirst:\n  a: '1'\nsecond:\n  a: '1'\n"
    )


@pytest.mark.parametrize("text", ["y", "N", "1e3", "0o17", "12e45", "+1", ".5", "1_000", "true", "~", ""])
def test_what_some_yaml_reader_takes_for_another_type_is_quoted(text: str) -> None:
    assert render([{"key": text}]) == f"key: '{text}'\n"


def test_texts_that_look_like_other_types_stay_texts() -> None:
    values = {"version": "1.34", "on": "yes", "empty": "", "number": "0755", "nothing": "null"}
    assert yaml.safe_load(render([values])) == values

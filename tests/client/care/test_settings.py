"""Every setting that holds, and where it comes from; a secret is never shown."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from proper_client.care.settings import SECRETS, Given, as_objects, settings
from proper_client.cli import main
from proper_client.policy import Policy
from proper_client.releases.shelf import Kept, Shelf
from proper_client.vault import Vault
from proper_shared.errors import ConfigError

HIDDEN = "correct horse battery"


@pytest.fixture
def vault(tmp_path):
    (tmp_path / "home").mkdir()
    return Vault(tmp_path / "home")


def found(vault, environment=None, given=None):
    seen = settings(vault, environment or {}, given or Given())
    return {one.name: one for one in seen}


def test_nothing_set_is_all_default(vault):
    seen = found(vault)
    assert {one.origin for one in seen.values()} == {"default"}
    assert {f"policy.{key}" for key in Policy.model_fields} <= seen.keys()
    assert all(one.about for one in seen.values())


def test_a_key_of_the_policy_names_its_line(vault):
    path = vault.home / "policy.toml"
    path.write_text('# mine\nmin_cohort = 12\n\n"hours"= "22-07"\n')
    seen = found(vault)
    assert seen["policy.min_cohort"].origin == f"{path}:2"
    assert seen["policy.hours"].origin == f"{path}:4"
    assert seen["policy.hours"].value == "22-07"
    assert seen["policy.max_runs"].origin == "default"


def test_a_key_that_is_spelt_by_escapes_names_its_file(vault):
    path = vault.home / "policy.toml"
    path.write_text(r'"min\u005Fcohort" = 12')
    assert found(vault)["policy.min_cohort"].origin == str(path)


def test_a_policy_that_is_wrong_is_an_error(vault):
    (vault.home / "policy.toml").write_text("min_cohort = 1")
    with pytest.raises(ConfigError, match="min_cohort"):
        found(vault)


@pytest.mark.parametrize(
    ("environment", "given", "origin"),
    [
        ({"PROPER_HOME": "/x", "XDG_DATA_HOME": "/y"}, None, "environment PROPER_HOME"),
        (
            {"PROPER_HOME": " ", "XDG_DATA_HOME": "/y"},
            None,
            "environment XDG_DATA_HOME",
        ),
        ({"XDG_DATA_HOME": "not/absolute"}, None, "default"),
        ({"PROPER_HOME": "/x"}, Path("/z"), "option --home"),
    ],
)
def test_the_home_says_who_chose_it(vault, environment, given, origin, monkeypatch):
    monkeypatch.setattr("proper_client.care.settings.sys.platform", "linux")
    assert found(vault, environment, Given(home=given))["home"].origin == origin


def test_a_secret_is_set_and_no_more(vault, tmp_path):
    environment = {**dict.fromkeys(SECRETS, HIDDEN), "HF_HOME": "/models"}
    seen = settings(vault, environment, Given())
    shown = json.dumps(as_objects(seen))
    assert HIDDEN not in shown
    assert found(vault, environment)["HF_TOKEN"].value == "set"
    assert found(vault, environment)["HF_HOME"].value == "/models"
    assert found(vault, environment)["passphrase"].value == "set"
    file = Given(passphrase_file=tmp_path / "secret")
    assert found(vault, environment, file)["passphrase"].origin.startswith("option")


def test_the_release_in_use_says_who_chose_it(vault):
    shelf = Shelf(vault.home)
    shelf.prepare()
    shelf.use(Kept(digest="ab" * 32, version=2, backbone="/models/x"))
    seen = found(vault)
    assert seen["release"].value.endswith("ab" * 32)
    assert seen["release"].origin.endswith("in-use.json")
    assert seen["backbone"].value == "/models/x"


def test_the_command_shows_values_and_on_wish_their_origin(vault):
    words = ["config", "show", "--home", str(vault.home)]
    environment = {"PROPER_PASSPHRASE": HIDDEN}
    plain = CliRunner().invoke(main, words, env=environment)
    assert plain.exit_code == 0, plain.output
    assert "policy.min_cohort" in plain.stdout
    assert "option --home" not in plain.stdout
    more = CliRunner().invoke(main, [*words, "--origin"], env=environment)
    assert "option --home" in more.stdout
    as_json = CliRunner().invoke(main, [*words, "--json"], env=environment)
    assert {"name", "value", "origin", "about"} == set(json.loads(as_json.stdout)[0])
    assert HIDDEN not in plain.output + more.output + as_json.output

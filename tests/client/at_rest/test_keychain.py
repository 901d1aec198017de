"""The keyring of the system, through the library that everybody uses."""

import pytest

from proper_client.at_rest.keychain import SERVICE, SystemKeychain, system_keychain
from proper_shared.errors import ConfigError

keyring = pytest.importorskip("keyring", reason="the extra `keyring` is not installed")
backend = pytest.importorskip("keyring.backend")
errors = pytest.importorskip("keyring.errors")

ACCOUNT, KEY = "ab" * 16, bytes(range(32))


class InMemory(backend.KeyringBackend):
    priority = 5

    def __init__(self):
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        del self.kept[service, username]


class InAFile(InMemory):
    priority = 0.5  # as keyrings.alt has it


class Shut(InMemory):
    def get_password(self, *_):
        raise errors.KeyringLocked("the collection is locked")

    set_password = delete_password = get_password


class Leaky(InMemory):
    def set_password(self, service, username, password):
        pass


@pytest.fixture
def chosen():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_a_key_is_kept_and_forgotten(chosen):
    memory = InMemory()
    chosen(memory)
    chain = system_keychain()
    assert chain.get(ACCOUNT) is None
    chain.put(ACCOUNT, KEY)
    assert chain.get(ACCOUNT) == KEY
    assert list(memory.kept) == [(SERVICE, ACCOUNT)]
    for _ in range(2):  # what is not there need not go
        chain.forget(ACCOUNT)
    assert memory.kept == {}


def test_a_machine_without_a_real_keyring_has_none(chosen):
    from keyring.backends import fail, null  # noqa: PLC0415

    for dummy in (fail.Keyring(), null.Keyring(), InAFile()):
        chosen(dummy)
        assert system_keychain() is None


def test_of_a_chain_the_first_real_one_is_used(chosen):
    memory = InMemory()
    chain = InMemory()
    chain.backends = [InAFile(), memory]
    chosen(chain)
    assert system_keychain() == SystemKeychain(memory)


@pytest.mark.parametrize("call", ["get", "forget"])
def test_a_keyring_that_is_locked_is_a_clear_error(chosen, call):
    chosen(Shut())
    with pytest.raises(
        ConfigError, match="refused: the collection is locked"
    ) as caught:
        getattr(system_keychain(), call)(ACCOUNT)
    assert "--with passphrase" in caught.value.hint


def test_a_keyring_that_keeps_nothing_is_found_at_once(chosen):
    chosen(Leaky())
    with pytest.raises(ConfigError, match="did not keep the key"):
        system_keychain().put(ACCOUNT, KEY)


def test_an_entry_that_somebody_edited_is_a_clear_error(chosen):
    memory = InMemory()
    memory.kept[SERVICE, ACCOUNT] = "no hex"
    chosen(memory)
    with pytest.raises(ConfigError, match="holds no key of ours"):
        system_keychain().get(ACCOUNT)

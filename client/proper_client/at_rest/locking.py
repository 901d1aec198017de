"""Lock a vault: seal in place what lies there in clear, or wrap its key anew.

A killed `lock` leaves a vault that opens, a part of it sealed; the next one goes on.

Covered: a kill, a full disk, a second process, at any step; what killed writers left.
Not covered: what the disk still holds of files that were there in clear before, copies
in backups, and the file that a history was read from, which is the person's own.
"""

from proper_client.at_rest.files import Opened, PrivateFiles
from proper_client.at_rest.key_file import DataKey, Way
from proper_client.at_rest.unlocking import Secrets
from proper_shared.errors import ConfigError


def lock(files: PrivateFiles, secrets: Secrets, way: Way | None = None) -> Way:
    """Seal a vault; one that is sealed already is closed in another way, if asked.

    Args:
        files: of the vault.
        secrets: what opens and closes it.
        way: by a passphrase or the keyring; None for what it has, or else for the
            keyring where there is one.

    Returns:
        By what it is closed now.

    Raises:
        ConfigError: there is nothing to open or close it with, the disk is full or not
            writable, or another process did the same. Files are sealed or as they were.
        FormatError: the key file is damaged.
    """
    opened = files.opened()
    if opened is not None and way in {None, opened.file.way}:
        _finish(files, opened)
        return opened.file.way
    if opened is not None and way is not None:
        _close_anew(files, secrets, opened, way)
        return way
    chosen = way or ("keyring" if secrets.keychain else "passphrase")
    files.check_keyed()  # a second key would shut out what a lost one sealed
    key, wrap = DataKey.new(secrets.entropy), secrets.new_wrap(chosen, None)
    with files.alone(None):
        files.write_key_file(wrap.close(key, "sealing"))
        _seal_all(files, key)
        files.write_key_file(wrap.close(key, "sealed"))
    return chosen


def change_passphrase(files: PrivateFiles, secrets: Secrets) -> None:
    """Close a vault by a new passphrase, whatever closed it before.

    Raises:
        ConfigError: the vault is not locked; else as `lock`.
        FormatError: the key file is damaged.
    """
    opened = files.opened()
    if opened is None:
        raise ConfigError(
            f"the vault in {files.home} is not locked",
            hint="lock it by a passphrase: proper-client lock --with passphrase",
        )
    _close_anew(files, secrets, opened, "passphrase")


def _close_anew(
    files: PrivateFiles, secrets: Secrets, opened: Opened, way: Way
) -> None:
    """Wrap the same key by something else; no file is touched that is sealed."""
    wrap = secrets.new_wrap(way, opened.file)
    with files.alone(opened.file):
        if opened.file.state == "sealing":
            _seal_all(files, opened.key)
        files.write_key_file(wrap.close(opened.key, "sealed"))
    secrets.forget(opened.file)


def _finish(files: PrivateFiles, opened: Opened) -> None:
    """Go on where a killed `lock` ended."""
    if opened.file.state == "sealing":
        with files.alone(opened.file):
            _seal_all(files, opened.key)
            files.write_key_file(opened.wrap.close(opened.key, "sealed"))


def _seal_all(files: PrivateFiles, key: DataKey) -> None:
    files.drop_leftovers()
    for place in files.places():
        if files.is_clear(place):
            files.seal_in_place(place, key)

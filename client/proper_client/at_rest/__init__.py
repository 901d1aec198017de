"""Private files at rest: one key seals them all, a passphrase or the keyring opens it.

From the inside out: `sealing` is what a file looks like, `key_file` what wraps the key,
`passphrase` and `keychain` are where a secret comes from, `unlocking` puts these
together, `files` reads and writes the folder, `locking` seals what lies there in clear.
"""

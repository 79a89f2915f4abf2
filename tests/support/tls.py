"""The certificate of a service that encrypts by itself."""

from pathlib import Path

import trustme


def tls_settings(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """Write a certificate for this machine and its key; give the settings that name them."""
    ours = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = folder / "chain.pem", folder / "key.pem"
    ours.cert_chain_pems[0].write_to_path(str(chain))
    ours.private_key_pem.write_to_path(str(key))
    return {"http_tls_certificate_file": chain, "http_tls_key_file": key}

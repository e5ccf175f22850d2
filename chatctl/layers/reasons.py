"""Why a connection under TLS failed, in words for the user."""

import ssl
from collections.abc import Sequence

_VERIFICATION = {  # X509_STORE_CTX_get_error(3)
    9: "its certificate is not valid yet: check the clock of this machine",
    10: "its certificate has expired",
    18: "its certificate is signed by itself: give its fingerprint, which the server prints at its start, as --tls-pin",
    19: "its certificate comes from an unknown authority: give that one's as --tls-ca FILE, if you trust it",
    20: "its certificate comes from an unknown authority: give that one's as --tls-ca FILE, if you trust it",
    62: "its certificate is for another name: connect to the name that it was made for",
    64: "its certificate is for another address: connect to the name that it was made for",
}

_OTHER_NAME = (62, 64)

_MAX_NAMES = 4  # that an error names: some certificates are for hundreds

_WANTS_CERTIFICATE = "the server asks for a client certificate: give --tls-cert and --tls-key"

_REASONS = {  # OpenSSL's names
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server and this side have no way of encryption in common, or "
    + _WANTS_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTS_CERTIFICATE,
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other side speaks no TLS 1.2 or later",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the authority of this side's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side does not accept this side's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "this side's certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side does not accept this side's certificate",
}


def explain(error: OSError, names: Sequence[str] = ()) -> str:
    """What went wrong.

    Args:
        error: it.
        names: what the other side's certificate is for, as far as is known. Nobody has vouched for them.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        if names and error.verify_code in _OTHER_NAME:
            which = "that name" if len(names) == 1 else "one of these names"
            shown = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
            return f"its certificate is for {shown}: connect to {which}, if you know it"
        return _VERIFICATION.get(error.verify_code, f"its certificate is not accepted: {error.verify_message}")
    reason: str = getattr(error, "reason", None) or str(error.args[0])
    return _REASONS.get(reason, reason.lower().replace("_", " "))

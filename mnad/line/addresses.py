"""Which addresses only this machine reaches; free of the server's packages, for the command line."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, seen from itself only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

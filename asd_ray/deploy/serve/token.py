"""The token that requests need: the one that Ray has for its dashboard and its connections."""

from __future__ import annotations

import hmac
import ipaddress
import os
from pathlib import Path

from asd_ray.errors import AsdRayError

FILE = "~/.ray/auth_token"
SCHEME = "bearer "


def read_token() -> str:
    """Ray's token, from the places where Ray looks for it. AsdRayError if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or FILE).expanduser()
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AsdRayError(
            f"{path}: the token that requests need cannot be read ({error}); create it with: "
            "ray get-auth-token --generate"
        ) from error
    if not token:
        raise AsdRayError(f"{path}: the token is empty; remove the file and run: ray get-auth-token --generate")
    return token


def has_token(authorization: str, token: str) -> bool:
    """Whether an Authorization header has the token. The time that this takes tells nothing about the token."""
    if authorization[: len(SCHEME)].lower() != SCHEME:
        return False
    return hmac.compare_digest(authorization[len(SCHEME) :].strip().encode(), token.encode())


def is_loopback(host: str) -> bool:
    """Whether only programs of this computer can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Addresses on S3: ``s3://bucket/folder``, with options behind a question mark or from AWS's environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from asd_ray.errors import AsdRayError, unknown

S3_OPTIONS = ("endpoint_override", "region", "scheme")
# Attempts of a commit, so that no trial is lost in a short outage. AWS waits a random time between two attempts, up to
# 1, 2, 4, … 20 seconds: in all about two minutes, and more than 78 seconds in 999 of 1,000 cases.
PATIENT = 12


def as_url(text: str | Path) -> str:
    """`text` with both slashes of an address; pathlib changes them to one."""
    address = os.fspath(text)
    return re.sub(r"\b(s3|https?):/(?!/)", r"\1://", address) if re.match("s3:/", address) else address


def is_s3(text: str | Path) -> bool:
    return as_url(text).startswith("s3://")


def parse_s3(text: str) -> tuple[str, dict[str, str]]:
    """The base ``bucket/key`` and the options of pyarrow's S3FileSystem."""
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise AsdRayError(
            f"s3://…@{parts.netloc.rpartition('@')[2]}{parts.path}: keys do not belong in an address, where logs show "
            "them; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or use a profile"
        )
    if not parts.netloc:
        raise AsdRayError(f"{text}: the bucket is missing; write s3://bucket/folder")
    query = dict(parse_qsl(parts.query))
    for option in query:
        if option not in S3_OPTIONS:
            raise unknown("option of an s3:// address", option, S3_OPTIONS)
    endpoint = query.get("endpoint_override") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    options = {key: value for key, value in query.items() if key != "endpoint_override"}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        if "@" in host:
            raise AsdRayError(
                f"s3://{parts.netloc}{parts.path}: keys do not belong in the address of the endpoint, where logs show "
                "them; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or use a profile"
            )
        options["endpoint_override"] = host.rstrip("/")
        options.setdefault("scheme", scheme or "https")
    if region := _environment("AWS_REGION", "AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else ""):
        options.setdefault("region", region)
    key = "/".join(part for part in parts.path.split("/") if part)
    return f"{parts.netloc}/{key}".rstrip("/"), options


def whole_url(base: str, options: dict[str, str]) -> str:
    """The inverse of `parse_s3`. The address also works on a node with other environment variables."""
    return f"s3://{base}" + (f"?{urlencode(sorted(options.items()))}" if options else "")


def s3_filesystem(options: dict[str, str], attempts: int = 3) -> Any:
    """pyarrow's file system; a request counts as failed after so many attempts."""
    from pyarrow import fs

    return fs.S3FileSystem(
        **options,
        allow_delayed_open=True,  # one request for a small object, instead of three of a multipart upload
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
    )


def _environment(*names: str) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")

"""Addresses on S3: ``s3://bucket/folder``, with options behind a question mark or from AWS's environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from asd_ray.errors import AsdRayError, unknown

S3_OPTIONS = ("endpoint_override", "region", "scheme")
# Attempts where a trial is at stake, so that a short outage costs none. Between two, AWS waits at random, up to 1, 2,
# 4, … 20 seconds: two minutes in all as a rule, more than 78 seconds in 999 of 1,000 cases.
PATIENT = 12


def as_url(text: str | Path) -> str:
    """`text` with the two slashes of a URL that pathlib folds into one."""
    said = os.fspath(text)
    return re.sub(r"\b(s3|https?):/(?!/)", r"\1://", said) if re.match("s3:/", said) else said


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
    given = dict(parse_qsl(parts.query))
    for option in given:
        if option not in S3_OPTIONS:
            raise unknown("option of an s3:// address", option, S3_OPTIONS)
    endpoint = given.get("endpoint_override") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    options = {key: value for key, value in given.items() if key != "endpoint_override"}
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
    """The address that `parse_s3` gave `base` and `options` of, good on a node with another environment."""
    return f"s3://{base}" + (f"?{urlencode(sorted(options.items()))}" if options else "")


def s3_filesystem(options: dict[str, str], attempts: int = 3) -> Any:
    """pyarrow's; `attempts` is how often S3 is asked before it counts as failed."""
    from pyarrow import fs

    return fs.S3FileSystem(
        **options,
        allow_delayed_open=True,  # one put for a small object, instead of a multipart upload's three requests
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
    )


def _environment(*names: str) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")

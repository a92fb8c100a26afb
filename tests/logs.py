"""Whatever an embedded cloud has logged, and what must not be in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.cloud import Cloud


def logged(cloud: Cloud) -> dict[str, str]:
    """All that there is, by log group."""
    logs = cloud.aws("logs")
    found = {}
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
        found[name] = "\n".join(event["message"] for page in pages for event in page["events"])
    return found


def leaks(cloud: Cloud, found: Mapping[str, str], marks: Iterable[str]) -> dict[tuple[str, str], str]:
    """The lines that hold one of the marks, a key of this deployment, or an address with a token."""
    keys = (cloud.outputs["apiKey"], cloud.outputs["internalKey"], "demo-key")
    unwanted = (*marks, *keys, "/v1/completions/", "X-Amz-Signature", "ticket=")
    return {
        (name, mark): line
        for name, text in found.items()
        for line in text.splitlines()
        for mark in unwanted
        # The route's key is no address: it has {token} in the token's place.
        if mark in line.replace("POST /v1/completions/{token}", "")
    }

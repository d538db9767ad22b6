"""Crates validated as others will do it, with roc-validator, without a network.

The validator fetches the contexts that a crate names. It is given them as answers that it had fetched before.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

from requests import Request
from requests_cache import CachedResponse, CachedSession
from requests_cache.models import CachedRequest
from rocrate_validator.models import ValidationSettings
from rocrate_validator.services import validate

RUN_TERMS = "https://w3id.org/ro/terms/workflow-run"
BIOSCHEMAS = "https://bioschemas.org"
# The terms whose meaning RO-Crate 1.3, which comes with rocrate, gave another address than 1.1.
SINCE_CHANGED = {
    "ComputationalWorkflow": f"{BIOSCHEMAS}/ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}/FormalParameter",
    "input": f"{BIOSCHEMAS}/ComputationalWorkflow#input",
    "output": f"{BIOSCHEMAS}/ComputationalWorkflow#output",
}


def contexts() -> dict[str, dict]:
    packaged = json.loads(importlib.resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text("utf-8"))
    return {
        "https://w3id.org/ro/crate/1.1/context": {"@context": packaged["@context"] | SINCE_CHANGED},
        f"{RUN_TERMS}/context": {"@context": {"sha256": f"{RUN_TERMS}#sha256"}},
    }


def faults(crate: Path, profile: str, cache: Path) -> list[str]:
    """What of the profile's REQUIRED parts, and those of all that it extends, a crate (folder or zip) lacks."""
    session = CachedSession(cache_name=str(cache / "http"), backend="sqlite")
    for url, content in contexts().items():
        answer = CachedResponse(
            url=url,
            status_code=200,
            headers={"Content-Type": "application/ld+json"},
            content=json.dumps(content).encode(),
            request=CachedRequest(method="GET", url=url),
        )
        session.cache.save_response(answer, cache_key=session.cache.create_key(Request("GET", url).prepare()))
    session.close()
    settings = ValidationSettings(
        rocrate_uri=str(crate), profile_identifier=profile, offline=True, cache_path=cache / "http"
    )
    result = validate(settings)
    found = [f"{issue.check.name}: {issue.message}" for issue in result.get_issues()]
    assert result.passed() == (not found)
    return found

"""What every management command says about this installation before it starts."""

import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ml.artifact import ArtifactError, read_manifest, shipped_model


@register()
def media_can_be_written(**_: Any) -> list[CheckMessage]:
    if settings.S3_BUCKET:
        return []
    folder = Path(settings.MEDIA_ROOT)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return []
    return [
        Error(f"Images cannot be stored: {existing} cannot be written to.", id="diagnosis.E001")
    ]


@register()
def var_is_closed_to_others(**_: Any) -> list[CheckMessage]:
    if not settings.VAR.stat().st_mode & stat.S_IXOTH:
        return []
    return [
        Warning(
            "Whoever has an account on this machine can read password hashes, sessions and "
            f"results: chmod 700 {settings.VAR}",
            id="diagnosis.W007",
        )
    ]


@register()
def the_shipped_model_can_be_read(**_: Any) -> list[CheckMessage]:
    try:
        read_manifest(shipped_model())
    except ArtifactError as error:
        sentence = f"{error} No image can be uploaded until a model is active."
        return [Warning(sentence, id="diagnosis.W001")]
    return []


@register()
def the_engine_is_installed(**_: Any) -> list[CheckMessage]:
    """A warning, since a host that only serves the web needs none."""
    engine = settings.MODEL_ENGINE
    if engine == "auto" or find_spec(engine):
        return []
    return [
        Warning(
            f"MODEL_ENGINE is {engine}, which is not installed: a worker here could read no image.",
            id="diagnosis.W002",
        )
    ]


@register()
def the_address_is_safe(**_: Any) -> list[CheckMessage]:
    if not settings.SITE_URL or settings.LISTEN_ON in ("127.0.0.1", "::1"):
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(
            Error("DEBUG shows settings and code to everyone at SITE_URL.", id="diagnosis.E002")
        )
    if not settings.HTTPS:
        found.append(
            Warning(
                "SITE_URL is plain http: passwords and images cross the network unprotected. "
                "Do this on a laboratory's own network only.",
                id="diagnosis.W003",
            )
        )
    return found


@register()
def hosts_can_share_what_they_must(**_: Any) -> list[CheckMessage]:
    """With a database on the network, web and workers may run on several hosts."""
    if not settings.POSTGRESQL or "SECRET_KEY" in os.environ:
        return []
    return [
        Warning(
            "DATABASE_URL is set but SECRET_KEY is not: hosts with a VAR of their own would not "
            "accept each other's sessions and links.",
            id="diagnosis.W004",
        )
    ]


@register()
def services_are_complete(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.S3_BUCKET and any(
        settings.S3_OPTIONS[name] for name in ("endpoint_url", "region_name", "access_key")
    ):
        found.append(
            Warning("S3 settings without S3_BUCKET: images stay in VAR.", id="diagnosis.W005")
        )
    if settings.EMAIL_CONFIGURED and settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        found.append(
            Warning(
                "EMAIL_URL is set, EMAIL_FROM is not: mail may be refused.", id="diagnosis.W006"
            )
        )
    return found

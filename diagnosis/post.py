"""Mails that say only that something is new: a mail is read on the way, and by others.

Workers send them, a while after the notices that they are of. A person's row is claimed by a
conditional update, so one worker writes to them; one that dies in between is followed by another
after CLAIM, at the price of a second mail where the first had gone. What was seen meanwhile, or may
not be seen any more, is not written about.
"""

import logging
import time
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.mail import send_mail
from django.db.models import F, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from . import notices, verdict
from .models import MailChoice, Notice

logger = logging.getLogger(__name__)

PAUSE = timedelta(minutes=5)
"""At least, between two mails to one person: a tray of slides is one."""
CLAIM = timedelta(minutes=2)
"""Longer than a task may take, and the pause after a mail server that failed."""
PATIENCE = 8
"""Seconds in which further mails are begun: images wait for the same worker."""
AWAY = "mail-server-away"
"""In the cache for as long as nobody asks the mail server again."""
REFUSED_FOR_GOOD = 500
"""SMTP's answers from this one on; those below may change."""


def address_of(user: User) -> str:
    """A confirmed one: others may be a stranger's."""
    found = EmailAddress.objects.filter(user=user, verified=True).order_by("-primary")
    return found.values_list("email", flat=True).first() or ""


def write_in(language: str, user: User) -> None:
    """What is written to them from now on."""
    MailChoice.objects.update_or_create(user=user, defaults={"language": language})


def deliver() -> int:
    """How many mails went. Nothing is lost where the server is away: a later sweep tries again."""
    if not settings.EMAIL_CONFIGURED or cache.get(AWAY):
        return 0
    sent, until = 0, time.monotonic() + PATIENCE
    for choice in _waiting(timezone.now()):
        if time.monotonic() > until or not _claim(choice):
            continue
        try:
            sent += _write(choice)
        except SMTPRecipientsRefused:  # for now
            continue
        except OSError as error:
            logger.warning("No mail could be sent, a later sweep will: %s", error)
            cache.set(AWAY, True, CLAIM.seconds)
            return sent
    return sent


def _waiting(now: datetime) -> list[MailChoice]:
    """Those for whom a mail was tried come after the others."""
    to_mail = Notice.objects.filter(is_to_mail=True).values("user")
    rested = Q(sent_at=None) | Q(sent_at__lt=now - PAUSE)
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM)
    due = MailChoice.objects.filter(rested, free, pk__in=to_mail).select_related("user")
    return list(due.order_by(F("claimed_at").asc(nulls_first=True)))


def _claim(choice: MailChoice) -> bool:
    """False: another worker was faster."""
    same = MailChoice.objects.filter(pk=choice.pk, claimed_at=choice.claimed_at)
    return bool(same.filter(sent_at=choice.sent_at).update(claimed_at=timezone.now()))


def _write(choice: MailChoice) -> int:
    due = Notice.objects.filter(user=choice.user, is_to_mail=True)
    ids = list(due.values_list("pk", flat=True))
    new = notices.of(choice.user).filter(pk__in=ids, seen_at=None, user__is_active=True)
    address = address_of(choice.user)
    is_sent = bool(address) and new.exists() and _send(choice, address)
    due.filter(pk__in=ids).update(is_to_mail=False)
    rest = {"sent_at": timezone.now()} if is_sent else {}
    MailChoice.objects.filter(pk=choice.pk).update(claimed_at=None, **rest)
    return int(is_sent)


def _send(choice: MailChoice, address: str) -> bool:
    """False: the server will never take one for this address. Raises OSError."""
    try:
        with translation.override(choice.language or settings.LANGUAGE_CODE):
            send_mail(
                _("Malariaweb: something is new for you"),
                render_to_string("diagnosis/mail.txt", _said_to(choice.user)),
                None,
                [address],
            )
    except SMTPRecipientsRefused as refusal:
        codes = [code for code, _text in refusal.recipients.values()]
        logger.warning("The mail server refuses the address of user %s: %s", choice.pk, codes)
        if min(codes) < REFUSED_FOR_GOOD:
            raise
        return False
    return True


def _said_to(user: User) -> dict[str, object]:
    site = settings.SITE_URL or f"http://localhost:{settings.PORT}"
    return {
        "user": user,
        "notices": site + reverse("notices"),
        "choices": site + reverse("mail_choices"),
        "minutes": PAUSE.seconds // 60,
        "research_use": _(verdict.RESEARCH_USE),
    }

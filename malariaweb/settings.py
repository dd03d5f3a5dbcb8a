"""Every setting. With none given the site runs on SQLite and files in var/; see .env.example."""

import os
from typing import Any

from csp.constants import NONE, SELF

from malariaweb import environment
from malariaweb.environment import BASE_DIR, Environment

env = Environment(os.environ)
env_file = env.read("ENV_FILE", environment.place, None, "a file")
if env_file or (BASE_DIR / ".env").exists():
    env.add_file(env_file or BASE_DIR / ".env")

# The place: a folder for everything this installation writes, an address, a port.
VAR = env.folder("VAR", BASE_DIR / "var")
SITE_URL = env.read("SITE_URL", environment.site_url, "", "like https://malaria.example.org")
PORT = env.whole("PORT", 8000, 1, 65535)
TRUSTED_PROXY_COUNT = env.whole("TRUSTED_PROXY_COUNT", int(SITE_URL.startswith("https:")), 0, 10)
TIME_ZONE = env.read("TIME_ZONE", environment.time_zone, "UTC", "a zone like Africa/Nairobi")
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "line", ("line", "json"))
METRICS_TOKEN = env.secret("METRICS_TOKEN", 20)

# Security
DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret_key("SECRET_KEY", VAR / "secret_key")
if SITE_URL.startswith("https:") and not TRUSTED_PROXY_COUNT:
    environment.stop(
        "TRUSTED_PROXY_COUNT must be at least 1 with an https SITE_URL: "
        "a proxy in front of this site has to end TLS."
    )
HTTPS = SITE_URL.startswith("https:")
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = LOCAL_HOSTS + ([environment.host_of(SITE_URL)] if SITE_URL else [])
LISTEN_ON = environment.listen_on(SITE_URL)
CSRF_TRUSTED_ORIGINS = [SITE_URL] if SITE_URL else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# Probes ask the web process itself, past the proxy that ends https.
SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS of the address's subdomains is their owner's decision
    "security.W021",  # and so is the browsers' preload list, of the whole domain
]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "diagnosis",
]

MIDDLEWARE = [
    "malariaweb.middleware.Requests",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "diagnosis.languages.Languages",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "diagnosis.audit.Actors",
    "diagnosis.sessions.Expiry",
    "diagnosis.sessions.SecondFactor",
]

ROOT_URLCONF = "malariaweb.urls"
WSGI_APPLICATION = "malariaweb.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# A language is offered once its catalogues are complete; tests/test_languages.py sees to that.
LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English"), ("fr", "Français"), ("pt", "Português")]
LANGUAGE_COOKIE_NAME = "language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = HTTPS
LOCALE_PATHS = [BASE_DIR / "diagnosis/locale"]
FORMAT_MODULE_PATH = "diagnosis.formats"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Accounts: django-allauth, refined in diagnosis/accounts.py
SIGNUP_OPEN = env.flag("SIGNUP_OPEN", True)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "diagnosis.credentials.LongEnough", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_IDLE_MINUTES = env.whole("SESSION_IDLE_MINUTES", 720, 5, 525_600)
SESSION_HOURS = env.whole("SESSION_HOURS", 168, 1, 8_760)
SESSION_COOKIE_AGE = 3600 * SESSION_HOURS
SECOND_FACTOR = env.choice("SECOND_FACTOR", "free", ("free", "reviewers", "everyone"))
PASSWORD_RESET_TIMEOUT = 24 * 3600
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
ACCOUNT_ADAPTER = "diagnosis.accounts.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "diagnosis.forms_accounts.LoginForm",
    "signup": "diagnosis.forms_accounts.SignupForm",
    "add_email": "diagnosis.forms_accounts.AddEmailForm",
    "reset_password": "diagnosis.forms_accounts.ResetPasswordForm",
}
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "diagnosis.passwords.ResetTokenGenerator"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_TOTP_ISSUER = "Malariaweb"
# The clock of a machine without internet drifts.
MFA_TOTP_TOLERANCE = 1
# Many accounts have no e-mail address, and without a mail server none is ever verified.
MFA_ALLOW_UNVERIFIED_EMAIL = True
# End of accounts

# Database
SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": VAR / "db.sqlite3",
    "OPTIONS": {
        # A transaction that reads first and writes later would fail at once, not wait for the lock.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: what an upload was answered with outlasts a power cut.
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
    },
}
POSTGRESQL: dict[str, Any] = env.read(
    "DATABASE_URL", environment.database, {}, "like postgres://user:password@host:5432/name"
)
if POSTGRESQL:
    POSTGRESQL = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True} | POSTGRESQL
DATABASES = {"default": POSTGRESQL or SQLITE}

# Cache: one that all processes share, or each would count its own rate limits.
REDIS_URL = env.read(
    "REDIS_URL",
    environment.redis,
    "",
    "like redis://user:password@host:6379/0",
)
DATABASE_CACHE: dict[str, Any] = {
    "BACKEND": "django.core.cache.backends.db.DatabaseCache",
    "LOCATION": "cache",
    "OPTIONS": {"MAX_ENTRIES": 100_000},
}
REDIS_CACHE = {
    "BACKEND": "malariaweb.cache.SharedCache",
    "LOCATION": REDIS_URL,
    "KEY_PREFIX": "malariaweb",
    "OPTIONS": {"socket_connect_timeout": 3, "socket_timeout": 10},
}
# What `diagnosis.drawn` keeps: some 5 MB in each web process.
PARTS: dict[str, Any] = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "LOCATION": "parts",
    "TIMEOUT": None,
    "OPTIONS": {"MAX_ENTRIES": 1_000, "CULL_FREQUENCY": 10},
}
CACHES = {
    "default": REDIS_CACHE if REDIS_URL else DATABASE_CACHE,
    "database": DATABASE_CACHE,
    "parts": PARTS,
}

# Images are private: no address leads to MEDIA_ROOT, views ask diagnosis.access first.
MEDIA_ROOT = VAR / "media"
S3_BUCKET = env.text("S3_BUCKET")
S3_OPTIONS = {
    "bucket_name": S3_BUCKET,
    "endpoint_url": env.read(
        "S3_ENDPOINT_URL", environment.url_of("http", "https"), None, "an http or https address"
    ),
    "region_name": env.text("S3_REGION") or None,
    "access_key": env.text("S3_ACCESS_KEY_ID") or None,
    "secret_key": env.text("S3_SECRET_ACCESS_KEY") or None,
    "default_acl": None,
    "file_overwrite": False,
}
if S3_BUCKET:
    from botocore.config import Config

    # A silent bucket is told from a slow one before the time of a worker's task is over.
    S3_OPTIONS["client_config"] = Config(
        connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 2}
    )
STATIC_URL = "static/"
STATIC_ROOT = environment.made("VAR", VAR / "static")  # whitenoise wants it before `prepare`
WHITENOISE_USE_FINDERS = True
WHITENOISE_KEEP_ONLY_HASHED_FILES = True  # the finders have the plain names
STORAGES = {
    "default": (
        {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": S3_OPTIONS}
        if S3_BUCKET
        else {"BACKEND": "malariaweb.storage.DurableStorage"}
    ),
    "staticfiles": {"BACKEND": "malariaweb.static.StaticStorage"},
}
DATA_UPLOAD_MAX_NUMBER_FILES = 500
UPLOADS_PER_HOUR = env.whole("UPLOADS_PER_HOUR", 20_000, 1, 10_000_000)
LABORATORIES_PER_PERSON = env.whole("LABORATORIES_PER_PERSON", 10, 1, 10_000)
STORAGE_QUOTA_GB = env.whole("STORAGE_QUOTA_GB", 100, 0, 1_000_000)

# E-mail
EMAIL: dict[str, Any] = env.read(
    "EMAIL_URL", environment.email, {}, "like smtp+tls://user:password@host:587"
)
EMAIL_CONFIGURED = bool(EMAIL)
EMAIL_BACKEND = EMAIL.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
EMAIL_HOST = EMAIL.get("EMAIL_HOST", "")
EMAIL_PORT = EMAIL.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = EMAIL.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = EMAIL.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = EMAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "malaria-screening@localhost")
ACCOUNT_EMAIL_VERIFICATION = "optional" if EMAIL_CONFIGURED else "none"
ACCOUNT_EMAIL_NOTIFICATIONS = EMAIL_CONFIGURED
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Malariaweb: "

# The API's description; the rest of it is in diagnosis/api.
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Malariaweb",
    "DESCRIPTION": "Research use only. Decision support, not a diagnosis: confirm by microscopy.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "diagnosis.api.schema.add_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ImageOpinion": "diagnosis.models.OPINIONS_OF_IMAGES",
        "CellOpinion": "diagnosis.models.CellOpinion",
        "Conclusion": "diagnosis.models.Conclusion",
        "Decision": "diagnosis.models.Decision",
        "Finding": "diagnosis.models.Finding",
        "Kind": "diagnosis.models.Kind",
        "Label": "diagnosis.models.Label",
        "Opinion": "diagnosis.models.Opinion",
        "Role": "diagnosis.models.Role",
        "Stain": "diagnosis.models.Stain",
        "State": "diagnosis.models.State",
    },
}

# Analysis
MODEL_ENGINE = env.choice("MODEL_ENGINE", "auto", ("auto", "onnxruntime", "torch", "openvino"))
ANALYSIS_TIME_LIMIT = 30
ANALYSIS_SOFT_TIME_LIMIT = 25
LEASE_SECONDS = 45
SWEEP_SECONDS = 15
MAX_ATTEMPTS = 3
CHUNK = 64
WEB_CONCURRENCY = env.whole("WEB_CONCURRENCY", 1, 1, 64)
WEB_THREADS = env.whole("WEB_THREADS", 8, 1, 256)
WORKER_PROCESSES = env.whole("WORKER_PROCESSES", 1, 1, 64)
ENGINE_THREADS = max(1, environment.cores() // WORKER_PROCESSES)

# Celery. The database row is the truth and a sweep re-queues what was left behind: no result
# backend, and no redelivery of what a killed worker held (CELERY_TASK_REJECT_ON_WORKER_LOST).
CELERY_BROKER_URL = REDIS_URL or "files://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {
        "visibility_timeout": 10 * ANALYSIS_TIME_LIMIT,
        "socket_connect_timeout": 3,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    if REDIS_URL
    else {"folder": str(VAR / "broker"), "polling_interval": 0.1}
)
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = ANALYSIS_TIME_LIMIT
CELERY_TASK_SOFT_TIME_LIMIT = ANALYSIS_SOFT_TIME_LIMIT
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = WORKER_PROCESSES
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
CELERY_WORKER_ENABLE_REMOTE_CONTROL = bool(REDIS_URL)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"ids": {"()": "malariaweb.logs.Ids"}},
    "formatters": {
        "line": {
            "()": "malariaweb.logs.Lines",
            "format": "{asctime} {levelname} {name}{reference}: {message}",
            "style": "{",
        },
        "json": {"()": "malariaweb.logs.Json"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["ids"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # A line for each request says little without its fields.
        "malariaweb.requests": {"level": LOG_LEVEL if LOG_FORMAT == "json" else "ERROR"},
        # To every HEAD request it says that Django's body was dropped, as it should be.
        "gunicorn.http.wsgi": {"level": "ERROR"},
        # Two lines for each task, every few seconds; where lines have ids, the one at its end.
        "celery.worker.strategy": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
        "celery.app.trace": {
            "level": LOG_LEVEL if LOG_LEVEL == "DEBUG" or LOG_FORMAT == "json" else "WARNING"
        },
        # At DEBUG it writes down all that a page is made of, codes and notes included.
        "django.template": {"level": "INFO"},
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
    },
}

env.refuse_unknown()
env.export()

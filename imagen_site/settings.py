"""Config -> Django settings; no environment and no decisions here."""

from pathlib import Path

from django.templatetags.static import static

from imagen_site import config, logs, profiles, queues

IMAGEN = config.load()
ROOT: Path = config.ROOT

SECRET_KEY = IMAGEN.secret_key
DEBUG = IMAGEN.debug
ALLOWED_HOSTS = list(IMAGEN.allowed_hosts)
CSRF_TRUSTED_ORIGINS = [IMAGEN.site_url]

INSTALLED_APPS = [
    # Its templates and scripts stand before those of Django's own admin.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "imagen_site.admin_app.OperatorApp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_structlog",
    "csp",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "imagen_site",
    "accounts",
    "billing",
    "jobs",
]

MIDDLEWARE = [
    "imagen_site.health.answer_probes_by_any_name",
    "imagen_site.metrics.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    *(["imagen_site.telemetry.SpanMiddleware"] if IMAGEN.tracing else []),
    "imagen_site.trace_middleware.TraceMiddleware",
    "imagen_site.request_log.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "imagen_site.outages.OutageMiddleware",
]

ROOT_URLCONF = profiles.urlconf(IMAGEN)
ASGI_APPLICATION = "imagen_site.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
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

DATABASES = {"default": profiles.database(IMAGEN)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "jobs:home"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

STATIC_URL = "static/"
STATIC_ROOT = IMAGEN.var_dir / "static"
STATICFILES_DIRS = [ROOT / "imagen_site" / "static"]
STORAGES = {
    "default": profiles.image_storage(IMAGEN),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
# A file of this size is already on disk: it is stored by moving bytes, never held in memory.
FILE_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
# Non-file fields only; the file's own limit is in jobs/operations.py.
DATA_UPLOAD_MAX_MEMORY_SIZE = 262_144
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100
DATA_UPLOAD_MAX_NUMBER_FILES = 10

# Error -> HTTP status, also for pages of apps that may not import the site.
ERROR_STATUS = "imagen_site.api_errors.status_of"
CSRF_FAILURE_VIEW = "imagen_site.pages.forged"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = IMAGEN.site_url.startswith("https://")
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:", *profiles.picture_origins(IMAGEN)],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.auth.ApiKeyAuthentication", "accounts.auth.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated", "accounts.auth.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["imagen_site.rate_limits.AccountThrottle"],
    "EXCEPTION_HANDLER": "imagen_site.api_errors.handle",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Imagen API",
    "DESCRIPTION": "Send a photo, get a better one.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

UNFOLD = {
    "SITE_TITLE": "Imagen admin",
    "SITE_HEADER": "Imagen",
    "SITE_SUBHEADER": "Admin",
    "SITE_ICON": lambda _request: static("favicon.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("favicon.svg")}],
    "STYLES": [lambda _request: static("admin.css")],
    "DASHBOARD_CALLBACK": "imagen_site.dashboard.with_state_of_the_site",
    "COLORS": {
        # Around the accent of the site's own pages (css/base.css).
        "primary": {
            "50": "#eef2ff",
            "100": "#e0e7ff",
            "200": "#c7d2fe",
            "300": "#a5b4fc",
            "400": "#818cf8",
            "500": "#6366f1",
            "600": "#5046e5",
            "700": "#4338ca",
            "800": "#3730a3",
            "900": "#312e81",
            "950": "#1e1b4b",
        },
    },
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"show_search": True, "show_all_applications": False},
}

LOGGING = logs.logging_settings(level=IMAGEN.log_level, project=IMAGEN.cloud.project if IMAGEN.cloud else "")
LOGGING_CONFIG = "imagen_site.logs.configure"

_BROKER = profiles.broker(IMAGEN)
CELERY_BROKER_URL = _BROKER["URL"]
CELERY_BROKER_TRANSPORT = _BROKER["TRANSPORT"]
CELERY_BROKER_TRANSPORT_OPTIONS = _BROKER["TRANSPORT_OPTIONS"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_QUEUES = queues.task_queues()
CELERY_TASK_CREATE_MISSING_QUEUES = False
# A message is given up only when its job has been dealt with; jobs/states.py counts the attempts, not the queue.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CONSUMER = "imagen_site.watched_consumer:WatchedConsumer"
CELERY_TIMEZONE = "UTC"

# What each service is told: the variables of imagen_site/config.py, its door and its size.

locals {
  site_url = "https://${var.domain}"
  # Known before the service is there, so that it can be told its own address.
  webhooks_host = "webhooks-${var.project_number}.${var.region}.run.app"
  webhooks_url  = "https://${local.webhooks_host}"

  both = {
    IMAGEN_PROFILE       = "gcp"
    GOOGLE_CLOUD_PROJECT = var.project_id
    GCS_BUCKET           = var.bucket
    FIRESTORE_DATABASE   = var.firestore_database
    SITE_URL             = local.site_url
    JOB_RETENTION_DAYS   = tostring(var.retention_days)
    # Of the account that signs links; only web signs.
    GS_SA_EMAIL = var.service_accounts.web
  }

  # On 127.0.0.1, where the collector beside it asks.
  measured = { METRICS_PORT = tostring(local.metrics_port) }

  web = merge(local.both, {
    IMAGEN_SERVICE = "site"
    ALLOWED_HOSTS  = var.domain
    # The load balancer adds two: who asked, and itself. The last but one is who asked.
    TRUSTED_PROXIES = "2"
  })

  webhooks = merge(local.both, {
    IMAGEN_SERVICE       = "webhooks"
    ALLOWED_HOSTS        = local.webhooks_host
    PUSH_AUDIENCE        = local.webhooks_url
    PUSH_SERVICE_ACCOUNT = var.service_accounts.push
  })

  services = {
    web = {
      ingress              = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
      default_uri_disabled = true
      service_account      = var.service_accounts.web
      # The longest that a websocket lives; a page then opens the next one.
      timeout     = "3600s"
      size        = var.web
      environment = merge(local.web, var.web.cpu_always ? local.measured : {})
      secrets     = { SECRET_KEY = var.secrets.secret_key, DATABASE_URL = var.secrets.database_url, REDIS_URL = var.secrets.redis_url }
    }

    webhooks = {
      ingress              = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      default_uri_disabled = false
      service_account      = var.service_accounts.webhooks
      timeout              = "180s"
      size                 = var.webhooks
      environment          = merge(local.webhooks, var.webhooks.cpu_always ? local.measured : {})
      secrets              = { SECRET_KEY = var.secrets.secret_key, DATABASE_URL = var.secrets.database_url }
    }
  }
}

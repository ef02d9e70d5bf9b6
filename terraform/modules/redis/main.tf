# Redis: how often an account may call, counted by all web instances together. It may be lost at any time: then each
# instance counts by itself (imagen_site/rate_limits.py).

locals {
  # Google's certificate is signed by an authority of this instance alone, which no client knows: the address carries
  # it. It names no host, so the authority is what is checked.
  authority = urlencode(join("\n", [for each in google_redis_instance.this.server_ca_certs : each.cert]))
  address   = "rediss://:${google_redis_instance.this.auth_string}@${google_redis_instance.this.host}:${google_redis_instance.this.port}/0"
}

resource "google_redis_instance" "this" {
  project            = var.project_id
  region             = var.region
  name               = "imagen"
  tier               = var.highly_available ? "STANDARD_HA" : "BASIC"
  memory_size_gb     = var.memory_gb
  redis_version      = "REDIS_7_2"
  connect_mode       = "PRIVATE_SERVICE_ACCESS"
  authorized_network = var.network_id
  reserved_ip_range  = var.private_range

  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  # There is nothing in it that a minute does not bring back.
  deletion_protection = false

  redis_configs = {
    # Windows of the rates expire by themselves; those that end first are the first to go.
    "maxmemory-policy" = "volatile-ttl"
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = "SUNDAY"

      start_time {
        hours   = 3
        minutes = 0
        seconds = 0
        nanos   = 0
      }
    }
  }
}

resource "google_secret_manager_secret_version" "redis_url" {
  secret = var.redis_url_secret

  secret_data_wo         = "${local.address}?ssl_ca_data=${local.authority}&ssl_check_hostname=false"
  secret_data_wo_version = tostring(var.url_version)
  deletion_policy        = "DISABLE"
}

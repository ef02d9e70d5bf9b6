# The door of the site: one address, TLS, the way from http, and what is told to every browser.

locals {
  # For a year; a browser that has been here once asks for https by itself. Django would say so only of requests that
  # come to it encrypted, and they end here.
  headers = ["Strict-Transport-Security: max-age=31536000"]
}

resource "google_compute_global_address" "this" {
  project = var.project_id
  name    = "imagen"
}

resource "google_compute_region_network_endpoint_group" "web" {
  project               = var.project_id
  region                = var.region
  name                  = "imagen-web"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service
  }
}

resource "google_compute_backend_service" "web" {
  project                 = var.project_id
  name                    = "imagen-web"
  load_balancing_scheme   = "EXTERNAL_MANAGED"
  protocol                = "HTTPS"
  security_policy         = google_compute_security_policy.this.id
  custom_response_headers = local.headers
  # Pages, the API and results are somebody's own: nothing of them is kept on the way.
  enable_cdn = false

  backend {
    group = google_compute_region_network_endpoint_group.web.id
  }

  log_config {
    enable      = true
    sample_rate = var.log_sample_rate
  }
}

resource "google_compute_backend_service" "static" {
  project                 = var.project_id
  name                    = "imagen-static"
  load_balancing_scheme   = "EXTERNAL_MANAGED"
  protocol                = "HTTPS"
  security_policy         = google_compute_security_policy.this.id
  custom_response_headers = local.headers
  enable_cdn              = true
  compression_mode        = "AUTOMATIC"

  backend {
    group = google_compute_region_network_endpoint_group.web.id
  }

  cdn_policy {
    # The site says how long: for ever where a name has its content's hash in it.
    cache_mode = "USE_ORIGIN_HEADERS"
    # While one version takes over from another, the old one may be asked for a file of the new one.
    negative_caching  = false
    serve_while_stale = 86400

    cache_key_policy {
      include_host         = false
      include_protocol     = false
      include_query_string = false
    }
  }
}

resource "google_compute_url_map" "https" {
  project         = var.project_id
  name            = "imagen"
  default_service = google_compute_backend_service.web.id

  host_rule {
    hosts        = [var.domain]
    path_matcher = "site"
  }

  path_matcher {
    name            = "site"
    default_service = google_compute_backend_service.web.id

    route_rules {
      priority = 1
      service  = google_compute_backend_service.candidate.id

      match_rules {
        prefix_match = "/"

        header_matches {
          header_name = local.candidate_header
          exact_match = local.candidate_tag
        }
      }
    }

    route_rules {
      priority = 2
      service  = google_compute_backend_service.static.id

      match_rules {
        prefix_match = "/static/"
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project_id
  # Of another domain another one, which is there before this one goes.
  name = "imagen-${replace(var.domain, ".", "-")}"

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project_id
  name            = "imagen"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project_id
  name             = "imagen"
  url_map          = google_compute_url_map.https.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "https" {
  project               = var.project_id
  name                  = "imagen-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}

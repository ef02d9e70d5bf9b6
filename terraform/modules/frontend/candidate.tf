# The revision that a release is trying, before it has any traffic: whoever names it in a header is sent to it. It is what
# everybody may see a few minutes later, behind the same Cloud Armor; what was rolled back can be reached until the next.

locals {
  # .ci/cloud/smoke sends it, and .ci/cloud/deploy_site gives the revision its tag.
  candidate_header = "X-Imagen-Revision"
  candidate_tag    = "candidate"
}

resource "google_compute_region_network_endpoint_group" "candidate" {
  project               = var.project_id
  region                = var.region
  name                  = "imagen-candidate"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service
    tag     = local.candidate_tag
  }
}

resource "google_compute_backend_service" "candidate" {
  project                 = var.project_id
  name                    = "imagen-candidate"
  load_balancing_scheme   = "EXTERNAL_MANAGED"
  protocol                = "HTTPS"
  security_policy         = google_compute_security_policy.this.id
  custom_response_headers = local.headers
  enable_cdn              = false

  backend {
    group = google_compute_region_network_endpoint_group.candidate.id
  }

  log_config {
    enable      = true
    sample_rate = var.log_sample_rate
  }
}

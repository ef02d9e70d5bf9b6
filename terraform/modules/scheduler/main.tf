# The clock of the sweep, which repairs whatever a crash has left (jobs/sweep.py).

resource "google_cloud_scheduler_job" "sweep" {
  project     = var.project_id
  region      = var.region
  name        = "sweep"
  description = "Publishes lost jobs again, takes jobs from dead workers, settles, deletes what has expired."
  schedule    = var.schedule
  time_zone   = "Etc/UTC"
  paused      = var.paused
  # What a longer sweep has not come to is the next one's.
  attempt_deadline = "180s"

  http_target {
    http_method = "POST"
    uri         = "${var.push.url}/push/sweep"

    oidc_token {
      service_account_email = var.push.service_account
      audience              = var.push.audience
    }
  }

  retry_config {
    # The next one comes in a minute anyway.
    retry_count          = 1
    min_backoff_duration = "5s"
    max_backoff_duration = "10s"
  }
}

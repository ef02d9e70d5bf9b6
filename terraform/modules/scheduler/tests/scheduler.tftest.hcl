mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  region     = "europe-west4"

  push = {
    url             = "https://webhooks-123456789012.europe-west4.run.app"
    audience        = "https://webhooks-123456789012.europe-west4.run.app"
    service_account = "imagen-push@imagen-dev.iam.gserviceaccount.com"
  }
}

run "sweeps_every_minute_as_the_account_that_may" {
  command = plan

  assert {
    condition = (
      google_cloud_scheduler_job.sweep.schedule == "* * * * *" &&
      google_cloud_scheduler_job.sweep.http_target[0].uri == "${var.push.url}/push/sweep" &&
      google_cloud_scheduler_job.sweep.http_target[0].http_method == "POST" &&
      google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].service_account_email == var.push.service_account &&
      google_cloud_scheduler_job.sweep.http_target[0].oidc_token[0].audience == var.push.audience
    )
    error_message = "imagen_site/urls_webhooks.py and jobs/push_auth.py."
  }
}

run "is_running_unless_it_is_stopped" {
  command = plan

  assert {
    condition     = !google_cloud_scheduler_job.sweep.paused
    error_message = "Without the sweep lost jobs stay lost."
  }
}

run "refuses_to_sweep_once_an_hour" {
  command = plan

  variables {
    schedule = "0 * * * *"
  }

  expect_failures = [var.schedule]
}

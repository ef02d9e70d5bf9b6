# What is promised of jobs, and how fast the promise is being used up. The workers measure: they see every end but the
# few that a person or the sweep writes. Google takes an objective only of a metric that it knows, and it knows one from
# its first sample on: so not before the first release.

locals {
  jobs = "resource.type=\"prometheus_target\" AND metric.type=\"prometheus.googleapis.com/imagen"

  timed = { for id, promise in local.promises : id => promise if var.measured }

  promises = merge(
    {
      first-progress = {
        title   = "begun within ${var.objectives.first_progress.seconds} s"
        goal    = var.objectives.first_progress.goal
        seconds = var.objectives.first_progress.seconds
        # Until a worker has begun the job, which is the first change that a page shows.
        filter = "${local.jobs}_job_queue_wait_seconds/histogram\""
      }
    },
    {
      for operation, seconds in var.objectives.end_to_end.seconds : "end-to-end-${replace(operation, "_", "-")}" => {
        title   = "${operation} completed within ${seconds} s"
        goal    = var.objectives.end_to_end.goal
        seconds = seconds
        filter  = "${local.jobs}_job_seconds/histogram\" AND metric.labels.status=\"completed\" AND metric.labels.operation=\"${operation}\""
      }
    },
  )
}

resource "google_monitoring_custom_service" "jobs" {
  project      = var.project_id
  service_id   = "imagen-jobs"
  display_name = "Imagen ${var.environment}: jobs"
}

resource "google_monitoring_slo" "completed" {
  count = var.measured ? 1 : 0

  project             = var.project_id
  service             = google_monitoring_custom_service.jobs.service_id
  slo_id              = "jobs-complete"
  display_name        = "accepted jobs complete"
  goal                = var.objectives.completed.goal
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      good_service_filter = "${local.jobs}_jobs_total/counter\" AND metric.labels.status=\"completed\""
      # A photo that nobody could have served, and a job that its owner cancelled, are no promise broken.
      bad_service_filter = "${local.jobs}_job_failures_total/counter\" AND metric.labels.fault=\"ours\""
    }
  }
}

resource "google_monitoring_slo" "timed" {
  for_each = local.timed

  project             = var.project_id
  service             = google_monitoring_custom_service.jobs.service_id
  slo_id              = each.key
  display_name        = each.value.title
  goal                = each.value.goal
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = each.value.filter

      range {
        max = each.value.seconds
      }
    }
  }
}

# Every push to the main branch is built, tested and released by cloudbuild.yaml, as an account that may do only that.

resource "google_cloudbuild_trigger" "main" {
  # A repository is connected by a person, once, with the consent of whoever owns it; until then there is no trigger.
  count = var.repository == null ? 0 : 1

  project         = var.project_id
  location        = var.region
  name            = "imagen-main"
  description     = "Builds, tests and releases what is pushed to ${var.branch}."
  filename        = "cloudbuild.yaml"
  service_account = "projects/${var.project_id}/serviceAccounts/${var.account}"
  substitutions   = var.substitutions

  repository_event_config {
    repository = var.repository

    push {
      branch = "^${var.branch}$"
    }
  }

  approval_config {
    approval_required = var.approval
  }
}

# What somebody builds by hand travels through here (`gcloud builds submit`). Cloud Build would make a bucket by itself,
# which the build's account could then not read.
resource "google_storage_bucket" "source" {
  project                     = var.project_id
  name                        = "${var.project_id}-imagen-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Nothing in it is older than a day, and all of it is in the repository.
  force_destroy = true

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 1
    }
  }
}

resource "google_storage_bucket_iam_member" "source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${var.account}"
}

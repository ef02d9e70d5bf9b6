# Where the images are: one Docker repository for api, worker and triton.

resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "imagen"
  description   = "Imagen's images: api, worker, triton."
  format        = "DOCKER"

  docker_config {
    # A tag is a commit. What ran under it yesterday runs under it tomorrow, so a rollback is what it says.
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # Not tried against Google: it may spare versions that still have a tag, since tags are immutable. Then old images are
  # deleted by hand, and cost storage until then.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.keep_versions
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "${var.keep_days * 24 * 60 * 60}s"
    }
  }

  cleanup_policy_dry_run = false
}

resource "google_artifact_registry_repository_iam_member" "access" {
  for_each = { for grant in local.grants : "${grant.role} ${grant.name}" => grant }

  project    = google_artifact_registry_repository.images.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = each.value.role
  member     = each.value.member
}

locals {
  grants = flatten([for role, members in var.access : [for name, member in members : { role = role, name = name, member = member }]])
}

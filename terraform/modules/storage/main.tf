# Two buckets: the pixels of jobs, which go after some days, and the weights of the models, which stay.

locals {
  # What a slot for a direct upload asks of its sender (jobs/cloud_uploads.py). Google has one list for the headers that
  # a page may send and those that it may read.
  upload_headers = ["Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match"]
}

resource "google_storage_bucket" "images" {
  project  = var.project_id
  name     = "${var.project_id}-imagen"
  location = upper(var.region)

  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # A photo that somebody deletes is gone: no older version of it, and no week in a bin.
  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.retention_days
      matches_prefix = ["inputs/", "outputs/"]
    }
  }

  # A job has a copy of its own, so what is left of an upload after its hour is of no use.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = 1
      matches_prefix = ["uploads/"]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 1
    }
  }

  cors {
    origin          = var.upload_origins
    method          = ["PUT"]
    response_header = local.upload_headers
    max_age_seconds = 3600
  }
}

resource "google_storage_bucket" "models" {
  project  = var.project_id
  name     = "${var.project_id}-imagen-models"
  location = upper(var.region)

  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # Twelve gigabytes from somebody else's server: an overwritten file can be had back.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      num_newer_versions = 2
      with_state         = "ARCHIVED"
    }
  }
}

resource "google_storage_bucket_iam_member" "images" {
  for_each = { for grant in local.image_grants : "${grant.role} ${grant.name}" => grant }

  bucket = google_storage_bucket.images.name
  role   = each.value.role
  member = each.value.member

  dynamic "condition" {
    for_each = each.value.prefix == "" ? [] : [each.value.prefix]

    content {
      title      = "only ${condition.value}"
      expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.images.name}/objects/${condition.value}\")"
    }
  }
}

resource "google_storage_bucket_iam_member" "models" {
  for_each = { for grant in local.model_grants : "${grant.role} ${grant.name}" => grant }

  bucket = google_storage_bucket.models.name
  role   = each.value.role
  member = each.value.member
}

locals {
  image_grants = flatten([
    for role, members in var.image_access : [
      for name, grant in members : { role = role, name = name, member = grant.member, prefix = grant.prefix }
    ]
  ])

  model_grants = flatten([
    for role, members in var.model_access : [
      for name, member in members : { role = role, name = name, member = member }
    ]
  ])
}

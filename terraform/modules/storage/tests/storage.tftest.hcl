mock_provider "google" {}

variables {
  project_id     = "imagen-dev"
  region         = "europe-west4"
  upload_origins = ["https://dev.imagen.example"]

  image_access = {
    "roles/storage.objectUser" = {
      web    = { member = "serviceAccount:imagen-web@imagen-dev.iam.gserviceaccount.com" }
      worker = { member = "principal://worker", prefix = "outputs/" }
    }
    "roles/storage.objectViewer" = { worker = { member = "principal://worker", prefix = "inputs/" } }
  }
}

run "deletes_the_pixels_of_a_job_after_a_week_and_unused_uploads_after_a_day" {
  command = plan

  assert {
    condition = anytrue([
      for rule in google_storage_bucket.images.lifecycle_rule :
      one(rule.action).type == "Delete" && one(rule.condition).age == 7 &&
      toset(one(rule.condition).matches_prefix) == toset(["inputs/", "outputs/"])
    ])
    error_message = "Inputs and outputs stay as long as the retention says."
  }

  assert {
    condition = anytrue([
      for rule in google_storage_bucket.images.lifecycle_rule :
      one(rule.action).type == "Delete" && one(rule.condition).age == 1 && toset(one(rule.condition).matches_prefix) == toset(["uploads/"])
    ])
    error_message = "An upload lives for an hour; a day later it is gone whatever happened."
  }

  assert {
    condition     = anytrue([for rule in google_storage_bucket.images.lifecycle_rule : one(rule.action).type == "AbortIncompleteMultipartUpload"])
    error_message = "Parts of an upload that was broken off are paid for, and seen nowhere."
  }
}

run "shows_no_photo_to_the_world" {
  command = plan

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.images, google_storage_bucket.models] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced"
    ])
    error_message = "Pictures are had by signed links alone."
  }
}

run "keeps_nothing_of_a_photo_that_was_deleted" {
  command = plan

  assert {
    condition = (
      !google_storage_bucket.images.versioning[0].enabled &&
      google_storage_bucket.images.soft_delete_policy[0].retention_duration_seconds == 0
    )
    error_message = "Deleted is deleted."
  }

  assert {
    condition     = google_storage_bucket.models.versioning[0].enabled
    error_message = "Weights that were overwritten can be had back."
  }
}

run "lets_pages_of_the_site_and_no_others_send_a_photo" {
  command = plan

  assert {
    condition = (
      google_storage_bucket.images.cors[0].origin == tolist(["https://dev.imagen.example"]) &&
      google_storage_bucket.images.cors[0].method == tolist(["PUT"]) &&
      toset(google_storage_bucket.images.cors[0].response_header) == toset(["Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match"])
    )
    error_message = "These are the headers that jobs/cloud_uploads.py signs."
  }
}

run "lets_a_worker_read_inputs_and_write_outputs" {
  command = plan

  assert {
    condition     = endswith(google_storage_bucket_iam_member.images["roles/storage.objectUser worker"].condition[0].expression, "/objects/outputs/\")")
    error_message = "A worker that is broken into overwrites no input."
  }

  assert {
    condition     = endswith(google_storage_bucket_iam_member.images["roles/storage.objectViewer worker"].condition[0].expression, "/objects/inputs/\")")
    error_message = "And it reads what it works on."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.images["roles/storage.objectUser web"].condition) == 0
    error_message = "The site lists and deletes whole folders."
  }
}

run "refuses_half_a_day" {
  command = plan

  variables {
    retention_days = 0.5
  }

  expect_failures = [var.retention_days]
}

run "refuses_uploads_from_anywhere" {
  command = plan

  variables {
    upload_origins = ["*"]
  }

  expect_failures = [var.upload_origins]
}

run "refuses_a_bucket_on_a_whole_continent" {
  command = plan

  variables {
    region = "EU"
  }

  expect_failures = [var.region]
}

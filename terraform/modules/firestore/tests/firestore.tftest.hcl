mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  region     = "europe-west4"
}

run "deletes_the_state_of_a_job_when_it_has_expired" {
  command = plan

  assert {
    condition = (
      google_firestore_field.expiry.collection == "jobs" &&
      google_firestore_field.expiry.field == "expires_at" &&
      length(google_firestore_field.expiry.ttl_config) == 1
    )
    error_message = "Live state is kept as long as the pixels, not for ever."
  }
}

run "indexes_nothing" {
  command = plan

  assert {
    condition = alltrue([
      for field in google_firestore_field.unindexed : field.field == "*" && length(field.index_config[0].indexes) == 0
    ])
    error_message = "The code asks for documents by their names."
  }

  assert {
    condition     = toset(keys(google_firestore_field.unindexed)) == toset(["jobs", "owners"])
    error_message = "Both collections are written often."
  }
}

run "answers_no_browser" {
  command = plan

  assert {
    condition = (
      strcontains(google_firebaserules_ruleset.deny_all.source[0].files[0].content, "allow read, write: if false;") &&
      length(regexall("allow", google_firebaserules_ruleset.deny_all.source[0].files[0].content)) == 1 &&
      google_firebaserules_release.firestore.name == "cloud.firestore"
    )
    error_message = "Nobody but our own services reads a job."
  }
}

run "lets_nobody_delete_it_by_default" {
  command = plan

  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "All live jobs are in it."
  }
}

run "grants_on_this_database_alone" {
  command = plan

  variables {
    access = { "roles/datastore.user" = { worker = "principal://worker" } }
  }

  assert {
    condition     = google_project_iam_member.access["roles/datastore.user worker"].condition[0].expression == "resource.name == \"projects/imagen-dev/databases/(default)\""
    error_message = "A second database in the project would not be theirs."
  }
}

run "makes_backups_where_it_is_asked_to" {
  command = plan

  variables {
    backup_days = 7
  }

  assert {
    condition     = google_firestore_backup_schedule.daily[0].retention == "604800s"
    error_message = "Seven days of them."
  }
}

run "refuses_backups_for_longer_than_firestore_keeps_them" {
  command = plan

  variables {
    backup_days = 365
  }

  expect_failures = [var.backup_days]
}

run "refuses_to_do_without_the_jobs" {
  command = plan

  variables {
    collections = ["owners"]
  }

  expect_failures = [var.collections]
}

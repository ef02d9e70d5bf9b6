# The live state of jobs: documents that are asked for by their names, and by nothing else.

resource "google_firestore_database" "this" {
  project     = var.project_id
  name        = var.name
  location_id = var.region
  type        = "FIRESTORE_NATIVE"

  # A write names the version that it expects, so nobody waits for a lock (jobs/state_store/firestore.py).
  concurrency_mode            = "OPTIMISTIC"
  app_engine_integration_mode = "DISABLED"

  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"
}

# Nothing is queried, so an index would be paid for with every write of every job, once a second, and read by nobody;
# those of rising times would also bound how many jobs can be written at all.
resource "google_firestore_field" "unindexed" {
  for_each = var.collections

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.value
  field      = "*"

  index_config {}
}

resource "google_firestore_field" "expiry" {
  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = "jobs"
  field      = "expires_at"

  # Google looks for what has expired by itself, within a day, and needs no index for it.
  index_config {}

  ttl_config {}
}

resource "google_firestore_backup_schedule" "daily" {
  count = var.backup_days > 0 ? 1 : 0

  project   = var.project_id
  database  = google_firestore_database.this.name
  retention = "${var.backup_days * 24 * 60 * 60}s"

  daily_recurrence {}
}

resource "google_project_iam_member" "access" {
  for_each = { for grant in local.grants : "${grant.role} ${grant.name}" => grant }

  project = var.project_id
  role    = each.value.role
  member  = each.value.member

  # Firestore has grants on the project alone; this narrows them to the one database.
  condition {
    title      = "imagen's database"
    expression = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\""
  }
}

locals {
  grants = flatten([
    for role, members in var.access : [
      for name, member in members : { role = role, name = name, member = member }
    ]
  ])
}

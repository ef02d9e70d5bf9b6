# What only some may know. Terraform makes the places and says who may look; the values it never sees.

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project   = var.project_id
  secret_id = each.key
  # Of a version that was destroyed by mistake this much time is left to bring it back.
  version_destroy_ttl = "604800s"
  deletion_protection = var.deletion_protection

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "access" {
  for_each = { for grant in local.grants : "${grant.secret} ${grant.name}" => grant }

  project   = google_secret_manager_secret.this[each.value.secret].project
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}

locals {
  grants = flatten([
    for secret, members in var.secrets : [for name, member in members : { secret = secret, name = name, member = member }]
  ])
}

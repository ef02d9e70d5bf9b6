# The APIs of a Google project that Imagen calls, or that a resource of it is made through.

resource "google_project_service" "this" {
  for_each = var.services

  project = var.project_id
  service = each.value
  # Whoever else works in the project may call it too.
  disable_on_destroy = false
}

# What can be granted on nothing smaller than a project.
resource "google_project_iam_member" "access" {
  for_each = { for grant in local.grants : "${grant.role} ${grant.name}" => grant }

  project = var.project_id
  role    = each.value.role
  member  = each.value.member
}

locals {
  grants = flatten([
    for role, members in var.access : [for name, member in members : { role = role, name = name, member = member }]
  ])
}

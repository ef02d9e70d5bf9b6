# The APIs of a Google project that Imagen calls, or that a resource of it is made through.

resource "google_project_service" "this" {
  for_each = var.services

  project = var.project_id
  service = each.value
  # Whoever else works in the project may call it too.
  disable_on_destroy = false
}

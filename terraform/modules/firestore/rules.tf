# What Firestore's rules say is for browsers and phones that ask it themselves. Ours ask the site.

resource "google_firebaserules_ruleset" "deny_all" {
  project = var.project_id

  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/firestore.rules")
    }
  }

  lifecycle {
    # Google keeps the old rules from being deleted until the new ones are released.
    create_before_destroy = true
  }
}

resource "google_firebaserules_release" "firestore" {
  project      = var.project_id
  name         = var.name == "(default)" ? "cloud.firestore" : "cloud.firestore/${var.name}"
  ruleset_name = google_firebaserules_ruleset.deny_all.name

  # A release of rules is for a database that is there.
  depends_on = [google_firestore_database.this]
}
